"""Golden values of layers: outputs, gradients and running statistics by PyTorch in float64; writes test/golden/layers.json."""

import numpy as np
import torch
from common import numbers, write

SEED = 5
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
rng = np.random.RandomState(SEED)
N = torch.nn


def draw(*shape):
    return np.round(rng.randn(*shape) * 64) / 64


def filled(layer):
    for p in layer.parameters():
        p.data = torch.tensor(draw(*p.shape))
    return layer


CASES = [
    ("LeakyReLU", [], N.LeakyReLU(), (3, 4)), ("LeakyReLU", [0.3], N.LeakyReLU(0.3), (3, 4)),
    ("ELU", [], N.ELU(), (3, 4)), ("ELU", [0.5], N.ELU(0.5), (3, 4)), ("SELU", [], N.SELU(), (3, 4)),
    ("GELU", [], N.GELU(), (3, 4)), ("GELU", [{"approximate": "tanh"}], N.GELU(approximate="tanh"), (3, 4)),
    ("SiLU", [], N.SiLU(), (3, 4)), ("Mish", [], N.Mish(), (3, 4)), ("Softplus", [], N.Softplus(), (3, 4)),
    ("LogSigmoid", [], N.LogSigmoid(), (3, 4)), ("Hardtanh", [], N.Hardtanh(), (3, 4)), ("Hardtanh", [-0.5, 2], N.Hardtanh(-0.5, 2), (3, 4)),
    ("LogSoftmax", [], N.LogSoftmax(-1), (3, 4)), ("LogSoftmax", [1], N.LogSoftmax(1), (2, 3, 2)), ("Flatten", [], N.Flatten(), (2, 3, 2)),
    ("LayerNorm", [4], filled(N.LayerNorm(4)), (3, 4)),
    ("LayerNorm", [[3, 2], {"eps": 0.1}], filled(N.LayerNorm([3, 2], eps=0.1)), (2, 3, 2)),
    ("LayerNorm", [4, {"affine": False}], N.LayerNorm(4, elementwise_affine=False), (3, 4)),
    ("BatchNorm1d", [3], filled(N.BatchNorm1d(3)), (5, 3)),
    ("BatchNorm1d", [3, {"eps": 0.1, "momentum": 0.4}], filled(N.BatchNorm1d(3, eps=0.1, momentum=0.4)), (4, 3, 2)),
    ("BatchNorm1d", [3, {"affine": False}], N.BatchNorm1d(3, affine=False), (5, 3)),
    ("Embedding", [6, 3], filled(N.Embedding(6, 3)), (4, 2)),
]

cases = []
for name, args, layer, shape in CASES:
    inputs = rng.randint(0, 6, shape) if name == "Embedding" else draw(*shape)
    x = torch.tensor(inputs, requires_grad=inputs.dtype.kind == "f")
    out = layer(x)
    g = draw(*out.shape)
    wanted = ([x] if x.requires_grad else []) + list(layer.parameters())
    grads = torch.autograd.grad(out, wanted, torch.tensor(g))
    case = {
        "layer": name, "args": args, "shape": list(shape), "x": numbers(inputs), "parameters": [numbers(p.detach()) for p in layer.parameters()],
        "value": numbers(out.detach()), "g": numbers(g), "gradients": [numbers(d) for d in grads],
    }
    if name == "BatchNorm1d":
        layer(torch.tensor(inputs) * 2 + 1)
        case["buffers"] = [numbers(layer.running_mean), numbers(layer.running_var)]
        case["inUse"] = numbers(layer.eval()(x).detach())
    cases.append(case)

write("test/golden/layers.json", "layers.py", f"torch {torch.__version__}", SEED, {"cases": cases})
