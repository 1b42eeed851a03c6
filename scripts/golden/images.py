"""Layers of images and signals: writes test/golden/images.json, and the networks' first states as test/golden/*.safetensors.

Each layer: output, gradients, running statistics, output in use. Two small networks that hold all of them: the prediction,
updates by gradient descent, the state and the prediction afterwards. By PyTorch in float64; all given numbers are exact in float32.
"""

import numpy as np
import torch
from common import numbers, save, write

SEED = 11
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
rng = np.random.RandomState(SEED)
N = torch.nn


def draw(*shape):
    return np.round(rng.randn(*shape) * 64) / 64


def filled(layer):
    for p in layer.parameters():
        p.data = torch.tensor(draw(*p.shape) / 2)
    return layer


class Global(N.Module):
    def forward(self, x):
        return x.mean((2, 3))


CASES = [
    ("Conv1d", [3, 4, 3], N.Conv1d(3, 4, 3), (2, 3, 7)),
    ("Conv1d", [4, 6, 3, {"stride": 2, "padding": 2, "dilation": 2, "groups": 2, "bias": False}],
     N.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2, bias=False), (2, 4, 9)),
    ("Conv2d", [3, 4, 3], N.Conv2d(3, 4, 3), (2, 3, 6, 5)),
    ("Conv2d", [4, 8, [3, 2], {"stride": [2, 1], "padding": [1, 0], "groups": 4}],
     N.Conv2d(4, 8, (3, 2), stride=(2, 1), padding=(1, 0), groups=4), (2, 4, 7, 5)),
    ("Conv2d", [2, 3, 3, {"padding": "same", "dilation": 2}], N.Conv2d(2, 3, 3, padding="same", dilation=2), (1, 2, 5, 5)),
    ("ConvTranspose1d", [3, 4, 3, {"stride": 2, "outputPadding": 1}], N.ConvTranspose1d(3, 4, 3, stride=2, output_padding=1), (2, 3, 5)),
    ("ConvTranspose2d", [4, 6, 3, {"stride": 2, "padding": 1, "groups": 2}],
     N.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 4, 3)),
    ("MaxPool1d", [2], N.MaxPool1d(2), (2, 3, 7)),
    ("MaxPool2d", [3, {"stride": 2, "padding": 1, "ceil": True}], N.MaxPool2d(3, 2, 1, ceil_mode=True), (2, 3, 6, 7)),
    ("AvgPool1d", [3, {"stride": 2, "padding": 1}], N.AvgPool1d(3, 2, 1), (2, 3, 7)),
    ("AvgPool2d", [3, {"stride": 2, "padding": 1, "countIncludePad": False}],
     N.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 6, 7)),
    ("AdaptiveAvgPool1d", [3], N.AdaptiveAvgPool1d(3), (2, 3, 7)),
    ("AdaptiveAvgPool2d", [[2, 3]], N.AdaptiveAvgPool2d((2, 3)), (2, 3, 5, 7)),
    ("GlobalAvgPool2d", [], Global(), (2, 3, 4, 5)),
    ("Upsample", [{"scale": 2}], N.Upsample(scale_factor=2), (2, 3, 3, 4)),
    ("Upsample", [{"size": [5, 7], "mode": "bilinear"}], N.Upsample(size=(5, 7), mode="bilinear"), (2, 3, 3, 4)),
    ("ZeroPad2d", [[1, 2, 0, 3]], N.ZeroPad2d((1, 2, 0, 3)), (2, 3, 3, 4)),
    ("BatchNorm2d", [3], N.BatchNorm2d(3), (4, 3, 3, 2)),
    ("BatchNorm2d", [3, {"eps": 0.1, "momentum": 0.4}], N.BatchNorm2d(3, eps=0.1, momentum=0.4), (2, 3, 4, 3)),
    ("BatchNorm2d", [3, {"affine": False, "trackRunningStats": False}],
     N.BatchNorm2d(3, affine=False, track_running_stats=False), (2, 3, 2, 3)),
    ("BatchNorm1d", [3, {"trackRunningStats": False}], N.BatchNorm1d(3, track_running_stats=False), (5, 3)),
    ("GroupNorm", [2, 6], N.GroupNorm(2, 6), (2, 6, 3, 4)), ("GroupNorm", [1, 4, {"eps": 0.1}], N.GroupNorm(1, 4, eps=0.1), (3, 4)),
    ("GroupNorm", [3, 3, {"affine": False}], N.GroupNorm(3, 3, affine=False), (2, 3, 5)),
    ("InstanceNorm2d", [3], N.InstanceNorm2d(3), (2, 3, 4, 3)),
    ("InstanceNorm2d", [3, {"affine": True, "trackRunningStats": True, "momentum": 0.3}],
     N.InstanceNorm2d(3, affine=True, track_running_stats=True, momentum=0.3), (2, 3, 4, 3)),
    ("Dropout2d", [0], N.Dropout2d(0), (2, 3, 2, 2)),
]

cases = []
for name, args, layer, shape in CASES:
    filled(layer)
    x = torch.tensor(draw(*shape), requires_grad=True)
    out = layer(x)
    g = draw(*out.shape)
    grads = torch.autograd.grad(out, [x, *layer.parameters()], torch.tensor(g))
    case = {
        "layer": name, "args": args, "shape": list(shape), "x": numbers(x.detach()),
        "parameters": [numbers(p.detach()) for p in layer.parameters()], "out": list(out.shape), "value": numbers(out.detach()),
        "g": numbers(g), "gradients": [numbers(d) for d in grads],
    }
    layer(x * 2 + 1)
    case["buffers"] = [numbers(b) for k, b in layer.named_buffers() if not k.endswith("tracked")]
    case["inUse"] = numbers(layer.eval()(x).detach())
    cases.append(case)


IMAGES = N.Sequential(
    N.ZeroPad2d(1), N.Conv2d(2, 6, 3, bias=False), N.BatchNorm2d(6), N.ReLU(), N.MaxPool2d(2), N.Conv2d(6, 6, 3, padding=1, groups=6),
    N.GroupNorm(2, 6), N.Upsample(scale_factor=2), N.InstanceNorm2d(6, affine=True, track_running_stats=True), N.AvgPool2d(2),
    N.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1), N.Dropout2d(0), N.AdaptiveAvgPool2d(4), Global(), N.Linear(4, 3),
)
SIGNALS = N.Sequential(
    N.Conv1d(2, 4, 5, padding=2), N.BatchNorm1d(4), N.ReLU(), N.MaxPool1d(2), N.ConvTranspose1d(4, 3, 3, stride=2), N.AvgPool1d(2),
    N.AdaptiveAvgPool1d(3), N.Flatten(), N.Linear(9, 2),
)

networks = {}
for name, network, shape, outputs in [("images", IMAGES, (5, 2, 8, 8), 3), ("signals", SIGNALS, (5, 2, 12), 2)]:
    filled(network)
    x = torch.tensor(draw(*shape))
    # Running statistics that are not those of a start, exact in float32.
    for key, buffer in network.named_buffers():
        if not key.endswith("tracked"):
            buffer.copy_(torch.tensor(np.abs(draw(*buffer.shape)) + 0.5))
    save(f"test/golden/{name}.safetensors", network.state_dict())
    y = torch.tensor(draw(shape[0], outputs))
    before = network.eval()(x).detach()
    network.train()
    descent = torch.optim.SGD(network.parameters(), lr=0.05)
    costs = []
    for _ in range(3):
        descent.zero_grad()
        cost = torch.nn.functional.mse_loss(network(x), y)
        cost.backward()
        descent.step()
        costs.append(float(cost))
    state = {k: numbers(v) for k, v in network.state_dict().items() if not k.endswith("tracked")}
    networks[name] = {
        "shape": list(shape), "x": numbers(x), "outputs": outputs, "y": numbers(y), "before": numbers(before), "costs": numbers(costs),
        "state": state, "after": numbers(network.eval()(x).detach()),
    }

write("test/golden/images.json", "images.py", f"torch {torch.__version__}", SEED, {"cases": cases, "networks": networks})
