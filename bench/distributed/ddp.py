"""The training of scale.mjs with PyTorch's DistributedDataParallel over gloo: python3 ddp.py [ranks, 1] [epochs measured, 60]"""

import json
import os
import socket
import subprocess
import sys
import time

if len(sys.argv) > 1 and int(sys.argv[1]) > 1 and "RANK" not in os.environ:
    # By itself: the launcher of some versions does not start under newer versions of Python.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**os.environ, "WORLD_SIZE": sys.argv[1], "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [subprocess.Popen([sys.executable, *sys.argv], env={**shared, "RANK": str(rank)}) for rank in range(int(sys.argv[1]))]
    sys.exit(max(rank.wait() for rank in ranks))

import torch
import torch.distributed as dist
import torch.nn as nn

torch.set_num_threads(1)
size = int(os.environ.get("WORLD_SIZE", "1"))
rank = int(os.environ.get("RANK", "0"))
if size > 1:
    dist.init_process_group("gloo")
torch.manual_seed(1)
batch = 128
samples = batch * 16 * size
x = torch.randn(samples, 784)
y = torch.arange(samples) % 10
model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))
if size > 1:
    model = nn.parallel.DistributedDataParallel(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)


def epoch():
    order = torch.randperm(samples)
    for at in range(0, samples, batch * size):
        rows = order[at + rank * batch : at + (rank + 1) * batch]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()


for _ in range(5):
    epoch()
rates = []
cpu = time.process_time()
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 60
for _ in range(epochs):
    start = time.perf_counter()
    epoch()
    rates.append(samples / (time.perf_counter() - start))
cpu = (time.process_time() - cpu) / (epochs * 16)
rates.sort()
if rank == 0:
    print(json.dumps({"peer": "PyTorch DDP, gloo", "ranks": size, "samplesPerSecond": round(rates[epochs // 2]), "best": round(rates[-1]), "processorMillisecondsAnUpdate": round(1000 * cpu, 2)}))
