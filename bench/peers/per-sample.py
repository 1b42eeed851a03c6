"""The gradient of each sample in PyTorch, beside that of the mean: 64-32-10 on a batch of 256, one sample after the other.

The counterpart of the last row of `node dist/bench/autodiff.js`. `OMP_NUM_THREADS=1 python3 bench/peers/per-sample.py`
"""

import json
import time

import torch

torch.manual_seed(0)
torch.set_num_threads(1)
batch = 256
model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
x, y = torch.randn(batch, 64), torch.arange(batch) % 10
parameters = list(model.parameters())


def gradient(inputs, labels):
    return torch.autograd.grad(torch.nn.functional.cross_entropy(model(inputs), labels), parameters)


def each():
    found = [gradient(x[i : i + 1], y[i : i + 1]) for i in range(batch)]
    return [torch.stack([g[k] for g in found]) for k in range(4)]


def microseconds(body, turns, calls):
    best = float("inf")
    for _ in range(turns):
        start = time.perf_counter()
        for _ in range(calls):
            body()
        best = min(best, (time.perf_counter() - start) / calls)
    return 1e6 * best


mean, loop = microseconds(lambda: gradient(x, y), 9, 50), microseconds(each, 5, 2)
print(json.dumps({"peer": f"torch {torch.__version__}", "batch": batch, "meanMicroseconds": mean, "eachMicroseconds": loop, "ratio": loop / mean}))
