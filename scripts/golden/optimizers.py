"""Golden values of optimisers and schedules: ten full-batch updates of a small network by PyTorch in both precisions; writes
test/golden/optimizers.json."""

import math

import numpy as np
import torch
from common import numbers, write

SEED = 11
torch.set_num_threads(1)
rng = np.random.RandomState(SEED)


def draw(*shape):
    return np.round(rng.randn(*shape) * 64) / 64


SHAPES = {"0.weight": (5, 4), "0.bias": (5,), "2.weight": (3, 5), "2.bias": (3,)}
start = {name: draw(*shape) * 0.5 for name, shape in SHAPES.items()}
x, y = draw(12, 4), draw(12, 3)
O, S = torch.optim, torch.optim.lr_scheduler


def sgd(**o):
    return lambda p: O.SGD(p, **o)


OPTIMIZERS = [
    ("gradientDescent", {"learningRate": 0.1}, sgd(lr=0.1)),
    ("gradientDescent", {"learningRate": 0.1, "weightDecay": 0.05}, sgd(lr=0.1, weight_decay=0.05)),
    ("gradientDescent", {"learningRate": 0.1, "momentum": 0.9}, sgd(lr=0.1, momentum=0.9)),
    ("gradientDescent", {"learningRate": 0.1, "momentum": 0.8, "nesterov": True, "weightDecay": 0.01},
     sgd(lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.01)),
    ("adam", {}, lambda p: O.Adam(p)),
    ("adam", {"learningRate": 0.05, "betas": [0.8, 0.9], "eps": 1e-4, "weightDecay": 0.02},
     lambda p: O.Adam(p, lr=0.05, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.02)),
    ("adam", {"learningRate": 0.05, "amsgrad": True}, lambda p: O.Adam(p, lr=0.05, amsgrad=True)),
    ("adamW", {"learningRate": 0.05}, lambda p: O.AdamW(p, lr=0.05)),
    ("adamW", {"learningRate": 0.02, "weightDecay": 0.3}, lambda p: O.AdamW(p, lr=0.02, weight_decay=0.3)),
    ("rmsProp", {}, lambda p: O.RMSprop(p)),
    ("rmsProp", {"learningRate": 0.02, "rho": 0.9, "eps": 1e-6, "momentum": 0.5, "weightDecay": 0.01},
     lambda p: O.RMSprop(p, lr=0.02, alpha=0.9, eps=1e-6, momentum=0.5, weight_decay=0.01)),
    ("rmsProp", {"learningRate": 0.02, "centered": True, "eps": 1e-3}, lambda p: O.RMSprop(p, lr=0.02, centered=True, eps=1e-3)),
    ("adagrad", {}, lambda p: O.Adagrad(p)),
    ("adagrad", {"learningRate": 0.1, "decay": 0.05, "initialAccumulator": 0.1, "weightDecay": 0.01},
     lambda p: O.Adagrad(p, lr=0.1, lr_decay=0.05, initial_accumulator_value=0.1, weight_decay=0.01)),
]


def warm_cosine(o):
    warm = S.LinearLR(o, start_factor=1 / 4, total_iters=3)
    return S.SequentialLR(o, [warm, S.CosineAnnealingLR(o, 6, eta_min=0.01)], [3])


SCHEDULES = [
    ("constant", {}, lambda o: S.LambdaLR(o, lambda t: 1)),
    ("step", {"every": 3}, lambda o: S.StepLR(o, 3)),
    ("step", {"every": 4, "factor": 0.5}, lambda o: S.StepLR(o, 4, gamma=0.5)),
    ("exponential", {"factor": 0.8}, lambda o: S.ExponentialLR(o, 0.8)),
    ("inverseTime", {"decay": 0.3}, lambda o: S.LambdaLR(o, lambda t: 1 / (1 + 0.3 * t))),
    ("cosine", {"total": 9}, lambda o: S.CosineAnnealingLR(o, 9)),
    ("cosine", {"total": 9, "warmup": 3, "minimum": 0.01}, warm_cosine),
    ("oneCycle", {"total": 10}, lambda o: S.OneCycleLR(o, 0.2, total_steps=10, cycle_momentum=False)),
    ("oneCycle", {"total": 10, "rise": 0.45, "startFactor": 4, "endFactor": 100},
     lambda o: S.OneCycleLR(o, 0.2, total_steps=10, cycle_momentum=False, pct_start=0.45, div_factor=4, final_div_factor=100)),
    ("plateau", {"patience": 1, "factor": 0.3, "threshold": 0.25, "cooldown": 1, "minimum": 0.01},
     lambda o: S.ReduceLROnPlateau(o, patience=1, factor=0.3, threshold=0.25, cooldown=1, min_lr=0.01)),
]
CLIPS = [("clipNorm", 0.3), ("clipValue", 0.05)]


def train(make, dtype, schedule=None, clip=None):
    params = [torch.tensor(v, dtype=dtype, requires_grad=True) for v in start.values()]
    w1, b1, w2, b2 = params
    X, Y = torch.tensor(x, dtype=dtype), torch.tensor(y, dtype=dtype)
    optimizer = make(params)
    scheduler = schedule(optimizer) if schedule else None
    rates, kept = [], {}
    for step in range(1, 11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        out = torch.tanh(X @ w1.T + b1) @ w2.T + b2
        cost = (0.5 * (out - Y) ** 2).sum(1).mean()
        cost.backward()
        if clip and clip[0] == "clipNorm":
            torch.nn.utils.clip_grad_norm_(params, clip[1])
        if clip and clip[0] == "clipValue":
            torch.nn.utils.clip_grad_value_(params, clip[1])
        optimizer.step()
        if scheduler:
            scheduler.step(cost.item()) if isinstance(scheduler, S.ReduceLROnPlateau) else scheduler.step()
        if step in (1, 10):
            kept[str(step)] = {n: numbers(p.detach().double().numpy()) for n, p in zip(SHAPES, params)}
    return {"after": kept, "rates": [float(r) for r in rates]}


def both(make, **o):
    return {"float32": train(make, torch.float32, **o)["after"], **(lambda r: {"float64": r["after"], "rates": r["rates"]})(train(make, torch.float64, **o))}


base = sgd(lr=0.2)
body = {
    "start": {n: numbers(v) for n, v in start.items()},
    "data": {"x": numbers(x), "y": numbers(y)},
    "optimizers": [{"name": n, "options": o, **both(f)} for n, o, f in OPTIMIZERS],
    "schedules": [{"name": n, "options": o, **both(base, schedule=f)} for n, o, f in SCHEDULES],
    "clipping": [{"name": n, "bound": v, **both(base, clip=(n, v))} for n, v in CLIPS],
}
write("test/golden/optimizers.json", "optimizers.py", f"torch {torch.__version__}", SEED, body)
