"""The cost of twenty epochs of PyTorch's SGD on the digits: the same network, start, rate and order of samples as the test."""

import numpy as np
import torch
import torch.nn.functional as F
from common import permutation, write

SEED, ORDER, BATCH, EPOCHS, RATE, ROWS = 7, 1, 32, 20, 0.25, 1437
torch.set_num_threads(1)


def pattern(n, factor, modulus, scale):
    """Numbers that both languages make alike and float32 holds: ((i · factor) mod modulus − modulus // 2) / scale."""
    return [((i * factor) % modulus - modulus // 2) / scale for i in range(n)]


table = np.loadtxt("examples/data/digits.csv", delimiter=",", skiprows=1)[:ROWS]
x = torch.tensor(table[:, :64] / 16, dtype=torch.float32)
y = torch.tensor(table[:, 64], dtype=torch.long)
start = [(pattern(2048, 7919, 257, 1024), (32, 64)), (pattern(32, 31, 61, 512), (32,)), (pattern(320, 6151, 251, 512), (10, 32)), (pattern(10, 7, 11, 256), (10,))]
w1, b1, w2, b2 = parameters = [torch.tensor(v).reshape(shape).requires_grad_() for v, shape in start]
optimizer = torch.optim.SGD(parameters, lr=RATE)
costs = []
for epoch in range(EPOCHS):
    order = permutation(ROWS, SEED, ORDER, epoch)
    total = 0.0
    for at in range(0, ROWS, BATCH):
        rows = order[at : at + BATCH]
        cost = F.cross_entropy(F.linear(torch.relu(F.linear(x[rows], w1, b1)), w2, b2), y[rows])
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        total += cost.item() * len(rows)
    costs.append(total / ROWS)

write("test/golden/digits-curve.json", "digits_curve.py", f"PyTorch {torch.__version__}", SEED,
      {"rows": ROWS, "batch": BATCH, "rate": RATE, "costs": costs})
