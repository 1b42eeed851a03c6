"""Golden values of recurrent layers: PyTorch's outputs, states and gradients, 20 updates of a network of each, and one state dict.

What is given is made of one formula here and in the test (`pattern`), exact in float32. By PyTorch in float64.
"""

import numpy as np
import torch
from common import save, short, write

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
N = torch.nn


def pattern(shape, factor, scale=32):
    """(i · factor mod 31 − 15)/scale."""
    n = int(np.prod(shape))
    return torch.tensor([((i * factor) % 31 - 15) / scale for i in range(n)]).reshape(shape)


def filled(module):
    for k, p in enumerate(module.parameters()):
        p.data = pattern(p.shape, 7 + 2 * k)
    return module


CASES = [
    ("RNN", {}, None, False),
    ("RNN", {"nonlinearity": "relu", "numLayers": 2, "bidirectional": True}, [4, 1, 3], True),
    ("RNN", {"bias": False, "batchFirst": False}, [2, 4, 1], False),
    ("GRU", {}, None, True),
    ("GRU", {"numLayers": 2, "batchFirst": False}, None, False),
    ("GRU", {"bidirectional": True, "numLayers": 2}, [3, 4, 1], True),
    ("GRU", {"bias": False}, [1, 2, 4], False),
    ("LSTM", {}, None, False),
    ("LSTM", {"numLayers": 2, "bidirectional": True}, [4, 2, 1], True),
    ("LSTM", {"bias": False, "bidirectional": True}, None, True),
    ("LSTM", {"batchFirst": False}, [1, 4, 3], True),
]
names = {"numLayers": "num_layers", "batchFirst": "batch_first"}
M, T, F, H = 3, 4, 2, 3

cases = []
for kind, options, lengths, with_state in CASES:
    first = options.get("batchFirst", True)
    given = {"batch_first": True, **{names.get(k, k): v for k, v in options.items()}}
    layer = filled(getattr(N, kind)(F, H, **given))
    x = pattern((M, T, F) if first else (T, M, F), 11, 8).requires_grad_()
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    state = [pattern((rows, M, H), 5 + 8 * i, 16).requires_grad_() for i in range(2 if kind == "LSTM" else 1)] if with_state else []
    h0 = None if not with_state else tuple(state) if kind == "LSTM" else state[0]
    if lengths is None:
        out, last = layer(x, h0)
    else:
        packed = N.utils.rnn.pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False)
        out, last = layer(packed, h0)
        out, _ = N.utils.rnn.pad_packed_sequence(out, batch_first=first, total_length=T)
    results = [out, *(last if kind == "LSTM" else [last])]
    seeds = [pattern(y.shape, 13 + 4 * i, 8) for i, y in enumerate(results)]
    inputs = [x, *state, *layer.parameters()]
    gradients = torch.autograd.grad(results, inputs, seeds)
    cases.append({
        "layer": kind, "options": options, "lengths": lengths, "state": with_state, "names": [n for n, _ in layer.named_parameters()],
        "results": [short(y) for y in results], "gradients": [short(g) for g in gradients],
    })

# Without a batch's axis.
layer = filled(N.LSTM(F, H))
out, last = layer(pattern((T, F), 11, 8))
single = {"results": [short(y) for y in (out, *last)]}


class Last(N.Module):
    def __init__(self, layer, linear):
        super().__init__()
        self.layer, self.linear = layer, linear

    def forward(self, x):
        return self.linear(self.layer(x)[0][:, -1])


class Mean(Last):
    def forward(self, x):
        return self.linear(self.layer(x)[0].mean(1))


updates = []
for kind, head, options, optimizer in [
    ("RNN", "LastStep", {}, "sgd"), ("GRU", "LastStep", {"numLayers": 2}, "adam"), ("LSTM", "LastStep", {}, "adam"),
    ("LSTM", "MeanOverTime", {"bidirectional": True}, "sgd"),
]:
    given = {"batch_first": True, **{names.get(k, k): v for k, v in options.items()}}
    wide = 2 * H if options.get("bidirectional") else H
    model = filled((Last if head == "LastStep" else Mean)(getattr(N, kind)(F, H, **given), N.Linear(wide, 2)))
    x, y = pattern((6, T, F), 11, 8), pattern((6, 2), 3, 16)
    make = torch.optim.SGD(model.parameters(), lr=0.1) if optimizer == "sgd" else torch.optim.Adam(model.parameters(), lr=0.01)
    costs = []
    for _ in range(20):
        make.zero_grad()
        cost = N.functional.mse_loss(model(x), y)
        cost.backward()
        make.step()
        costs.append(float(cost))
    updates.append({
        "layer": kind, "head": head, "options": options, "optimizer": optimizer, "costs": short(costs),
        "parameters": [short(p.detach()) for p in model.parameters()],
    })

# A network as PyTorch saves it.
torch.manual_seed(5)
model = N.ModuleList([N.LSTM(F, H, num_layers=2, bidirectional=True, batch_first=True), N.Linear(2 * H, 2)])
save("test/golden/recurrent.safetensors", {k.replace("1.", "2.", 1) if k[0] == "1" else k: v for k, v in model.state_dict().items()})
model.float()
for p in model.parameters():
    p.data = p.data.double()
saved = {"value": short(model[1](model[0](pattern((6, T, F), 11, 8))[0].mean(1)).detach())}

# A label for each step, some of which do not count.
labels = torch.tensor([[0, -7, 2, 1], [-7, -7, 1, 3], [2, 2, -7, 0]])
tokens = []
for reduction in ("mean", "sum", "none"):
    for weight in (None, [0.5, 2, 1, 0.25]):
        for smoothing in (0, 0.125):
            z = pattern((3, 4, 4), 11, 8).requires_grad_()
            out = N.functional.cross_entropy(
                z.reshape(12, 4), labels.reshape(12), reduction=reduction, ignore_index=-7, label_smoothing=smoothing,
                weight=None if weight is None else torch.tensor(weight))
            g = torch.autograd.grad(out, z, torch.ones_like(out))[0]
            options = {"reduction": reduction, "labelSmoothing": smoothing, **({} if weight is None else {"weight": weight})}
            tokens.append({"options": options, "value": short(out), "gradient": short(g)})

write("test/golden/recurrent.json", "recurrent.py", f"torch {torch.__version__}", None,
      {"cases": cases, "single": single, "updates": updates, "saved": saved, "labels": labels.tolist(), "tokens": tokens})
