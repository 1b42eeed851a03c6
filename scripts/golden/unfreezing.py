"""Golden values: PyTorch's optimisers where parameters are frozen and unfrozen on the way, so that their counts of updates differ."""

import torch
from common import numbers, write

X = [[0.5, -1.0], [1.5, 0.25], [-0.75, 2.0]]
Y = [[1.0], [-0.5], [0.25]]
START = {
    "0.weight": [[0.5, -0.25], [0.75, 1.0]],
    "0.bias": [0.125, -0.5],
    "2.weight": [[1.0, -0.75]],
    "2.bias": [0.25],
}
# How many updates, and which layers are frozen meanwhile.
PHASES = [(20, [0]), (3, []), (4, [2]), (3, []), (2, [0]), (2, [])]
OPTIMIZERS = [
    ("adam", {"learningRate": 0.01}, lambda p: torch.optim.Adam(p, lr=0.01)),
    ("adam", {"learningRate": 0.01, "amsgrad": True}, lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True)),
    ("adamW", {"learningRate": 0.02, "weightDecay": 0.1}, lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.1)),
    ("rmsProp", {"learningRate": 0.01, "momentum": 0.5}, lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5)),
    ("adagrad", {"learningRate": 0.1, "decay": 0.05}, lambda p: torch.optim.Adagrad(p, lr=0.1, lr_decay=0.05)),
    ("gradientDescent", {"learningRate": 0.05, "momentum": 0.9}, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
]


def path(make):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1)).double()
    model.load_state_dict({k: torch.tensor(v, dtype=torch.float64) for k, v in START.items()})
    x, y = torch.tensor(X, dtype=torch.float64), torch.tensor(Y, dtype=torch.float64)
    optimizer = make(model.parameters())
    out = []
    for count, frozen in PHASES:
        for i in (0, 2):
            for p in model[i].parameters():
                p.requires_grad_(i not in frozen)
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
        out.append({k: numbers(v) for k, v in model.state_dict().items()})
    return out


cases = [{"optimizer": name, "options": options, "after": path(make)} for name, options, make in OPTIMIZERS]
start = {k: numbers(v) for k, v in START.items()}
body = {"x": X, "y": Y, "start": start, "phases": [{"updates": n, "frozen": f} for n, f in PHASES], "cases": cases}
write("test/golden/unfreezing.json", "unfreezing.py", f"torch {torch.__version__}", None, body)
