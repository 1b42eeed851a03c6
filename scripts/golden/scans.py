"""Golden values of loops: PyTorch's, written out. JAX's documented examples of scan, a recurrent network, a Kalman filter."""

import torch
from common import numbers, write

f64 = dict(dtype=torch.float64)


def pattern(n, factor, modulus, scale):
    return [((i * factor) % modulus - modulus // 2) / scale for i in range(n)]


# A running sum, and a running product: the documented examples of scan.
xs = torch.arange(1, 6, **f64)
running = {"sums": numbers(torch.cumsum(xs, 0)), "products": numbers(torch.cumprod(xs, 0))}

# h ← tanh(W h + U x + b), y = v·h.
W = torch.tensor(pattern(9, 7, 11, 8), **f64).reshape(3, 3).requires_grad_()
U = torch.tensor(pattern(6, 5, 13, 8), **f64).reshape(3, 2).requires_grad_()
b = torch.tensor(pattern(3, 3, 5, 8), **f64).requires_grad_()
x = torch.tensor(pattern(14, 11, 17, 8), **f64).reshape(7, 2).requires_grad_()


def recurrent(W, U, b, x):
    h, ys = torch.zeros(3, **f64), []
    for row in x:
        h = torch.tanh(W @ h + U @ row + b)
        ys.append((h * torch.tensor([1.0, -2.0, 0.5], **f64)).sum())
    return torch.stack(ys)


ys = recurrent(W, U, b, x)
cost = ys.square().sum()
gradients = torch.autograd.grad(cost, [W, U, b, x], create_graph=True)
curvature = torch.autograd.grad(sum(g.square().sum() for g in gradients), [W, b])
rnn = {
    "ys": numbers(ys.detach()),
    "gradients": [numbers(g.detach()) for g in gradients],
    "curvature": [numbers(g) for g in curvature],
}

# A Kalman filter with two unknown noises: −log p, its gradient and its Hessian.
F = torch.tensor([[1.0, 1.0], [0.0, 1.0]], **f64)
Q = torch.tensor([[1 / 3, 1 / 2], [1 / 2, 1.0]], **f64)
y = torch.tensor(pattern(25, 13, 29, 3), **f64)


def filtered(log_noise):
    q, r = log_noise.exp()
    m, P, total = torch.zeros(2, **f64), 100 * torch.eye(2, **f64), 0
    for v in y:
        m, P = F @ m, F @ P @ F.T + q * Q
        S, e = P[0, 0] + r, v - m[0]
        K = P[:, 0] / S
        m, P = m + K * e, P - torch.outer(K, P[0])
        total = total + e**2 / S + torch.log(S)
    return total / 2


theta = torch.tensor([-1.0, 0.5], **f64)
kalman = {
    "cost": numbers(filtered(theta)),
    "gradient": numbers(torch.autograd.functional.jacobian(filtered, theta)),
    "hessian": numbers(torch.autograd.functional.hessian(filtered, theta)),
}

write("test/golden/scans.json", "scans.py", f"PyTorch {torch.__version__}", None, {"running": running, "rnn": rnn, "kalman": kalman})
