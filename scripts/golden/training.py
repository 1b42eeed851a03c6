"""Golden values of training: a hundred updates of PyTorch's SGD from the same start, over the same order of samples."""

import torch
import torch.nn.functional as F
from common import numbers, permutation, write

SEED = 7
ORDER = 1
torch.set_num_threads(1)


def pattern(n, factor, modulus, scale):
    """Numbers that both languages make alike and float32 holds: ((i · factor) mod modulus − modulus // 2) / scale."""
    return [((i * factor) % modulus - modulus // 2) / scale for i in range(n)]


NETWORKS = {
    # Example 3.1's network, of which the first sample is its own.
    "example31": {
        "widths": [2, 2, 1], "samples": 20, "rate": 0.25,
        "start": [[0.15, 0.2, 0.25, 0.3], [0.35, 0.35], [0.4, 0.45], [0.6]],
        "x": [0.05, 0.1] + pattern(38, 29, 61, 32), "y": [0.01] + pattern(19, 17, 31, 32),
    },
    "digits": {
        "widths": [64, 32, 10], "samples": 320, "rate": 0.125,
        "start": [pattern(2048, 7919, 257, 1024), pattern(32, 31, 61, 512), pattern(320, 6151, 251, 512), pattern(10, 7, 11, 256)],
        "x": pattern(320 * 64, 10007, 509, 256), "y": [(i * i + 3 * i) % 10 for i in range(320)],
    },
}
RUNS = [
    ("example31", "FBGD", None, 100), ("example31", "SGD", 1, 5), ("example31", "MBSGD", 8, 30),
    ("digits", "MBSGD", 32, 10), ("digits", "MBSGD", 100, 25), ("digits", "FBGD", None, 20),
]


def train(name, batch, epochs, dtype):
    spec = NETWORKS[name]
    i, h, o = spec["widths"]
    m = spec["samples"]
    parameters = [
        torch.tensor(values, dtype=dtype).reshape(shape).requires_grad_()
        for values, shape in zip(spec["start"], [(h, i), (h,), (o, h), (o,)])
    ]
    optimizer = torch.optim.SGD(parameters, lr=spec["rate"])
    x = torch.tensor(spec["x"], dtype=dtype).reshape(m, i)
    y = torch.tensor(spec["y"], dtype=torch.long if name == "digits" else dtype)
    costs = []
    for epoch in range(epochs):
        order = list(range(m)) if batch is None else permutation(m, SEED, ORDER, epoch)
        size = batch or m
        total = 0.0
        for start in range(0, m, size):
            rows = order[start : start + size]
            w1, b1, w2, b2 = parameters
            hidden = F.linear(x[rows], w1, b1)
            out = F.linear(torch.relu(hidden) if name == "digits" else torch.sigmoid(hidden), w2, b2)
            cost = F.cross_entropy(out, y[rows]) if name == "digits" else (0.5 * (out[:, 0] - y[rows]) ** 2).mean()
            optimizer.zero_grad()
            cost.backward()
            optimizer.step()
            total += cost.item() * len(rows)
        costs.append(total / m)
    return parameters, costs


def short(t):
    if t.dtype == torch.float32:
        return [float(f"{v:.9g}") for v in t.detach().flatten().tolist()]
    return numbers(t.detach().numpy())


runs = []
for name, trainer, batch, epochs in RUNS:
    entry = {"network": name, "trainer": trainer, "batch": batch, "epochs": epochs}
    for key, dtype in (("float32", torch.float32), ("float64", torch.float64)):
        parameters, costs = train(name, batch, epochs, dtype)
        # Of large weights every seventh element stands for all.
        entry[key] = {"parameters": [short(p.flatten()[:: 7 if p.numel() > 1000 else 1]) for p in parameters], "costs": costs}
    runs.append(entry)

orders = [permutation(10, SEED, ORDER, epoch) for epoch in range(3)]
write("test/golden/training.json", "training.py", f"torch {torch.__version__}", SEED, {"orders": orders, "runs": runs})
