"""Convolution and pooling over a grid of options: writes test/golden/spatial.json with PyTorch's values.

A case holds the function, the shapes of its operands, its options, and of the result and of every gradient the shape and three
sums Σ vᵢ cos(k (i + 1)), k = 1, 2, 3: whatever is wrong moves them. Operands are filled by `fill`, which the test repeats.
"""

import math
import random

import torch
import torch.nn.functional as F
from common import numbers, write

torch.set_num_threads(1)
random.seed(7)
SEED = 7


def fill(shape, salt):
    n = math.prod(shape)
    i = torch.arange(n, dtype=torch.float64)
    return torch.sin(i * 1.7 + salt * 0.61 + torch.remainder(i * i, 13.0)).reshape(shape)


def sums(v):
    flat = v.detach().reshape(-1)
    i = torch.arange(1, flat.numel() + 1, dtype=torch.float64)
    return {"shape": list(v.shape), "sums": numbers([float((flat * torch.cos(k * i)).sum()) for k in (1, 2, 3)])}


def case(op, shapes, options, f):
    operands = [fill(s, k).requires_grad_(True) for k, s in enumerate(shapes)]
    y = f(*operands)
    g = fill(list(y.shape), 9)
    grads = torch.autograd.grad(y, operands, g)
    return {"op": op, "inputs": shapes, "options": options, "y": sums(y), "grads": [sums(v) for v in grads]}


def pick(*choices):
    return random.choice(choices)


def torch_conv(rank, transposed, o):
    names = {"outputPadding": "output_padding"}
    keys = {names.get(k, k): tuple(v) if isinstance(v, list) else v for k, v in o.items()}
    f = getattr(F, f"conv_transpose{rank}d" if transposed else f"conv{rank}d")
    return lambda x, w, b=None: f(x, w, b, **keys)


cases = []
while len(cases) < 150:
    rank = pick(1, 2, 2)
    transposed = random.random() < 0.3
    groups = pick(1, 1, 1, 2, 3)
    each, out = pick(1, 2, 3, 5), pick(1, 2, 4, 9)
    c, d = each * groups, out * groups
    window = [pick(1, 2, 3, 3, 5) for _ in range(rank)]
    size = [pick(5, 6, 7, 9, 11) for _ in range(rank)]
    one = lambda *v: pick(pick(*v), [pick(*v) for _ in range(rank)])
    o = {"stride": one(1, 1, 2, 3), "dilation": one(1, 1, 2), "groups": groups}
    o["padding"] = pick(0, one(0, 1, 2), one(0, 1, 2))
    if not transposed and random.random() < 0.25:
        o["padding"], o["stride"] = pick("same", "valid"), 1
    if transposed and random.random() < 0.5:
        o["outputPadding"] = 1
    x = [pick(1, 2, 3), c, *size]
    w = [c, out, *window] if transposed else [d, each, *window]
    shapes = [x, w] + ([[d]] if random.random() < 0.6 else [])
    op = f"convTranspose{rank}d" if transposed else f"conv{rank}d"
    try:
        cases.append(case(op, shapes, o, torch_conv(rank, transposed, o)))
    except (RuntimeError, ValueError):
        continue

while len(cases) < 230:
    rank, mean = pick(1, 2, 2), random.random() < 0.5
    window = pick(pick(1, 2, 3, 4), [pick(1, 2, 3) for _ in range(rank)])
    o = {"stride": pick(1, 2, 3), "padding": pick(0, 0, 1), "ceil": random.random() < 0.4}
    if not mean and random.random() < 0.3:
        o["dilation"] = 2
    if mean:
        o["countIncludePad"] = random.random() < 0.6
    if random.random() < 0.3:
        del o["stride"]
    x = [pick(1, 2), pick(1, 3, 8), *[pick(5, 6, 7, 9) for _ in range(rank)]]
    f = getattr(F, f"{'avg' if mean else 'max'}_pool{rank}d")
    names = {"ceil": "ceil_mode", "countIncludePad": "count_include_pad"}
    keys = {names.get(k, k): v for k, v in o.items()}
    size = tuple(window) if isinstance(window, list) else window
    try:
        cases.append(case(f"{'avg' if mean else 'max'}Pool{rank}d", [x], {"size": window, **o}, lambda v: f(v, size, **keys)))
    except (RuntimeError, ValueError):
        continue

for shape, size in [([2, 3, 7], 3), ([1, 2, 8], 4), ([2, 3, 7, 5], 2), ([1, 2, 6, 9], [3, 4]), ([1, 4, 5, 5], 1), ([1, 2, 3, 4], [5, 4])]:
    rank = len(shape) - 2
    f = getattr(F, f"adaptive_avg_pool{rank}d")
    cases.append(case(f"adaptiveAvgPool{rank}d", [shape], {"size": size}, lambda v: f(v, size)))

for shape, o in [
    ([2, 3, 5], {"scale": 2}), ([1, 2, 5], {"size": 3}), ([1, 2, 4, 5], {"scale": 2}), ([1, 2, 4, 5], {"size": [7, 3]}),
    ([1, 2, 4, 5], {"scale": 2, "mode": "bilinear"}), ([1, 2, 4, 5], {"size": [7, 3], "mode": "bilinear"}),
    ([1, 2, 4, 5], {"size": [9, 10], "mode": "bilinear", "alignCorners": True}), ([2, 3, 6], {"scale": 1.5, "mode": "linear"}),
    ([2, 3, 6], {"size": 11, "mode": "linear", "alignCorners": True}), ([1, 1, 5, 5], {"scale": [1.5, 3], "mode": "bilinear"}),
]:
    keys = {"scale_factor": o.get("scale"), "size": o.get("size"), "mode": o.get("mode", "nearest")}
    if keys["mode"] != "nearest":
        keys["align_corners"] = o.get("alignCorners", False)
    keys = {k: tuple(v) if isinstance(v, list) else v for k, v in keys.items()}
    cases.append(case("upsample", [shape], o, lambda v: F.interpolate(v, **keys)))

for shape, size, o in [
    ([2, 3, 5, 6], 3, {}), ([1, 2, 7, 7], [2, 3], {"stride": 2, "padding": 1}), ([1, 2, 9, 8], 2, {"dilation": [2, 3], "stride": [3, 1]}),
]:
    cases.append(case("unfold", [shape], {"size": size, **o}, lambda v: F.unfold(v, size, **o)))

write("test/golden/spatial.json", "spatial.py", f"torch {torch.__version__}", SEED, {"cases": cases})
