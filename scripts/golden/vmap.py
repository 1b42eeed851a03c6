"""Golden values: what JAX's documented examples of vmap give, by loops over the samples in PyTorch."""

import torch
from common import numbers, write

F = torch.nn.functional


def pattern(shape, factor, modulus, scale):
    n = torch.Size(shape).numel()
    return torch.tensor([((i * factor) % modulus - modulus // 2) / scale for i in range(n)], dtype=torch.float64).reshape(shape)


def flat(x):
    return numbers(x.detach().reshape(-1).numpy())


# Products of matrices from products of vectors.
a, b = pattern((3, 4), 5, 11, 4), pattern((4, 2), 7, 13, 4)
mm = torch.stack([torch.stack([a[i] @ b[:, j] for j in range(2)]) for i in range(3)])

# Gradients of each sample: a network 3-4-2, tanh, half the sum of squares.
shapes = [(4, 3), (4,), (2, 4), (2,)]
weights = [pattern(s, 37, 53, 32) for s in shapes]
x, y = pattern((5, 3), 11, 17, 8), pattern((5, 2), 7, 13, 4)


def cost(p, x, y):
    return 0.5 * ((p[2] @ torch.tanh(p[0] @ x + p[1]) + p[3] - y) ** 2).sum()


per_sample = []
for i in range(5):
    p = [w.clone().requires_grad_() for w in weights]
    per_sample.append(torch.autograd.grad(cost(p, x[i], y[i]), p))
per_sample = [torch.stack([g[k] for g in per_sample]) for k in range(4)]

# The Hessian of each sample's cost by its input.
hessians = torch.stack([torch.autograd.functional.hessian(lambda v: cost(weights, v, y[i]), x[i]) for i in range(5)])

# An ensemble: three networks, one gradient each of the mean cost.
members = [[w * (1 + 0.5 * k) for w in weights] for k in range(3)]
ensemble = []
for member in members:
    p = [w.clone().requires_grad_() for w in member]
    ensemble.append(torch.autograd.grad(sum(cost(p, x[i], y[i]) for i in range(5)) / 5, p))
ensemble = [torch.stack([g[k] for g in ensemble]) for k in range(4)]

# Gradients of each sample by the weight of a convolution.
images, kernel = pattern((4, 2, 5, 5), 11, 17, 8), pattern((3, 2, 3, 3), 7, 19, 8)
conv = []
for i in range(4):
    w = kernel.clone().requires_grad_()
    conv.append(torch.autograd.grad(torch.tanh(F.conv2d(images[i : i + 1], w, stride=2, padding=1)).sum(), w)[0])

write(
    "test/golden/vmap.json",
    "vmap.py",
    f"torch {torch.__version__}",
    0,
    {
        "mm": flat(mm),
        "perSample": [flat(g) for g in per_sample],
        "hessians": flat(hessians),
        "ensemble": [flat(g) for g in ensemble],
        "conv": flat(torch.stack(conv)),
    },
)
