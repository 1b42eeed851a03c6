"""Golden values of training with weights: class weights as PyTorch's `weight=`, samples' weights as sum(w l) / sum(w)."""

import torch
import torch.nn.functional as F
from common import numbers, permutation, write

SEED = 5
ORDER = 1
WIDTHS = [6, 7, 4]
# More than one chunk of a full batch.
SAMPLES = 1100
RATE = 0.5
CLASS_WEIGHTS = [0.25, 1, 3, 0.5]
torch.set_num_threads(1)


def pattern(n, factor, modulus, scale):
    """Numbers that both languages make alike and float32 holds: ((i · factor) mod modulus − modulus // 2) / scale."""
    return [((i * factor) % modulus - modulus // 2) / scale for i in range(n)]


START = [pattern(42, 7919, 257, 256), pattern(7, 31, 61, 512), pattern(28, 6151, 251, 256), pattern(4, 7, 11, 256)]
X = pattern(SAMPLES * 6, 10007, 509, 256)
LABELS = [(i * i + 3 * i) % 4 for i in range(SAMPLES)]
NUMBERS = pattern(SAMPLES * 4, 2003, 127, 64)
# Every fifth sample counts nothing.
WEIGHTS = [(i % 5) * 0.5 for i in range(SAMPLES)]

RUNS = [
    {"loss": "crossEntropy", "classWeights": True, "sampleWeights": False},
    {"loss": "crossEntropy", "classWeights": False, "sampleWeights": True},
    {"loss": "crossEntropy", "classWeights": True, "sampleWeights": True},
    {"loss": "nll", "classWeights": True, "sampleWeights": True},
    {"loss": "mse", "classWeights": False, "sampleWeights": True},
]
TRAINERS = [("FBGD", None, 6), ("MBSGD", 32, 2), ("MBSGD", 3, 1), ("SGD", 1, 1)]


def train(run, batch, epochs, dtype):
    i, h, o = WIDTHS
    parameters = [
        torch.tensor(values, dtype=dtype).reshape(shape).requires_grad_()
        for values, shape in zip(START, [(h, i), (h,), (o, h), (o,)])
    ]
    rate = RATE if batch != 1 else RATE / 16
    optimizer = torch.optim.SGD(parameters, lr=rate)
    x = torch.tensor(X, dtype=dtype).reshape(SAMPLES, i)
    labels = torch.tensor(LABELS)
    targets = torch.tensor(NUMBERS, dtype=dtype).reshape(SAMPLES, o)
    weights = torch.tensor(WEIGHTS if run["sampleWeights"] else [1.0] * SAMPLES, dtype=dtype)
    classes = torch.tensor(CLASS_WEIGHTS, dtype=dtype) if run["classWeights"] else None

    def forward(rows):
        w1, b1, w2, b2 = parameters
        return F.linear(torch.tanh(F.linear(x[rows], w1, b1)), w2, b2)

    def cost_of(rows):
        out = forward(rows)
        if run["loss"] == "mse":
            return (weights[rows] * ((out - targets[rows]) ** 2).mean(1)).sum() / weights[rows].sum()
        y = labels[rows]
        f = F.cross_entropy if run["loss"] == "crossEntropy" else lambda q, *more, **named: F.nll_loss(F.log_softmax(q, 1), *more, **named)
        if not run["sampleWeights"]:
            return f(out, y, weight=classes)
        used = weights[rows] * (classes[y] if classes is not None else 1)
        return (weights[rows] * f(out, y, weight=classes, reduction="none")).sum() / used.sum()

    costs = []
    for epoch in range(epochs):
        order = list(range(SAMPLES)) if batch is None else permutation(SAMPLES, SEED, ORDER, epoch)
        total = 0.0
        for start in range(0, SAMPLES, batch or SAMPLES):
            rows = order[start : start + (batch or SAMPLES)]
            if weights[rows].sum() == 0:
                continue
            cost = cost_of(rows)
            optimizer.zero_grad()
            cost.backward()
            optimizer.step()
            total += cost.item() * len(rows)
        costs.append(total / SAMPLES)
    with torch.no_grad():
        after = cost_of(list(range(SAMPLES))).item()
    return parameters, costs, after


def short(t):
    if t.dtype == torch.float32:
        return [float(f"{v:.9g}") for v in t.detach().flatten().tolist()]
    return numbers(t.detach().numpy())


runs = []
for run in RUNS:
    for trainer, batch, epochs in TRAINERS:
        entry = {**run, "trainer": trainer, "batch": batch, "epochs": epochs}
        for key, dtype in (("float32", torch.float32), ("float64", torch.float64)):
            parameters, costs, after = train(run, batch, epochs, dtype)
            entry[key] = {"parameters": [short(p) for p in parameters], "costs": costs, "after": after}
        runs.append(entry)

body = {"samples": SAMPLES, "widths": WIDTHS, "rate": RATE, "classWeights": CLASS_WEIGHTS, "runs": runs}
write("test/golden/weights.json", "weights.py", f"torch {torch.__version__}", SEED, body)
