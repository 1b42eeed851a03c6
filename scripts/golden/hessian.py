"""Golden value: PyTorch's Hessian of a three-layer network's cost, by all its parameters as one vector."""

import torch
from common import numbers, write

SHAPES = [(4, 3), (4,), (4, 4), (4,), (2, 4), (2,)]


def pattern(n, factor, modulus, scale):
    return [((i * factor) % modulus - modulus // 2) / scale for i in range(n)]


count = sum(torch.Size(s).numel() for s in SHAPES)
theta = torch.tensor(pattern(count, 37, 53, 32), dtype=torch.float64)
x = torch.tensor(pattern(15, 11, 17, 8), dtype=torch.float64).reshape(5, 3)
y = torch.tensor(pattern(10, 7, 13, 4), dtype=torch.float64).reshape(5, 2)


def cost(vector):
    at, parts = 0, []
    for shape in SHAPES:
        n = torch.Size(shape).numel()
        parts.append(vector[at : at + n].reshape(shape))
        at += n
    a = x
    for k in range(3):
        a = torch.tanh(a @ parts[2 * k].T + parts[2 * k + 1])
    return 0.5 * ((a - y) ** 2).sum(1).mean()


h = torch.autograd.functional.hessian(cost, theta)
rows = [numbers(h[i, i:].numpy()) for i in range(count)]
write("test/golden/hessian.json", "hessian.py", f"torch {torch.__version__}", 0, {"cost": cost(theta).item(), "upper": rows})
