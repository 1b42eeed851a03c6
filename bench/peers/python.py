"""PyTorch and scikit-learn, run by run.mjs: python.py torch|sklearn FOLDER. The folder holds task.json and the arrays beside it."""

import json
import os
import sys
import time
import warnings

peer, folder = sys.argv[1:3]
task = json.load(open(os.path.join(folder, "task.json")))
threads = task["threads"]
os.environ.update(OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), OMP_WAIT_POLICY="passive")

import numpy as np  # noqa: E402  (after the threads are set)

warnings.filterwarnings("ignore")
layers, rate, batch, kind = task["layers"], task["rate"], task["batch"], task["kind"]
classes = task["loss"] == "crossEntropy"


def read(name, dtype):
    return np.fromfile(os.path.join(folder, name), dtype=dtype)


x = read("x", np.float32).reshape(-1, layers[0])
y = read("y", np.int32).astype(np.int64) if classes else read("y", np.float32).reshape(-1, layers[-1])
flat = read("parameters", np.float32)
parameters, at = [], 0
for k, n in [] if task.get("stages") else zip(layers, layers[1:]):
    parameters.append(flat[at : at + n * k].reshape(n, k).copy())
    parameters.append(flat[at + n * k : at + n * k + n].copy())
    at += n * k + n
batches = task["samples"] // batch


def leave(why):
    print(json.dumps({"left": why}))
    sys.exit(0)


def torch_peer():
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    if task.get("stages"):
        return torch_images()
    act = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}[task["activation"]]
    parts = []
    for l, (k, n) in enumerate(zip(layers, layers[1:])):
        linear = nn.Linear(k, n)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(parameters[2 * l]))
            linear.bias.copy_(torch.from_numpy(parameters[2 * l + 1]))
        parts.append(linear)
        if l < len(layers) - 2 or task.get("activeOutput"):
            parts.append(act())
    model = nn.Sequential(*parts)
    cost = nn.CrossEntropyLoss() if classes else lambda z, t: 0.5 * ((z - t) ** 2).sum(1).mean()
    optimizer = (torch.optim.Adam if task["variant"] == "adam" else torch.optim.SGD)(model.parameters(), lr=rate)
    xs, ys = torch.from_numpy(x), torch.from_numpy(y)

    def update(count):
        for i in range(count):
            a = (i % batches) * batch
            optimizer.zero_grad(set_to_none=True)
            cost(model(xs[a : a + batch]), ys[a : a + batch]).backward()
            optimizer.step()

    def judge(rows):
        with torch.no_grad():
            return float(cost(model(xs[:rows]), ys[:rows]))

    def predict(count):
        with torch.inference_mode():
            for _ in range(count):
                model(torch.from_numpy(x[:1])).numpy()

    return update, judge, predict


def torch_images():
    """Networks of images and signals, images in channels_last: what PyTorch is fastest in."""
    import torch
    from torch import nn

    image, signal = task["image"], len(task["image"]) == 2
    shape = list(image)

    class Residual(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, v):
            return v + self.inner(v)

    class Output(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, v):
            return self.inner(v)[0]

    class Step(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.last = name == "last"

        def forward(self, v):
            return v[:, -1] if self.last else v.mean(1)

    class GlobalAvg(nn.Module):
        def forward(self, v):
            return v.mean((2, 3))

    def make(stage):
        name, c = stage[0], shape[0]
        if name == "conv":
            _, channels, window, options = [*stage, {}][:4]
            padding = options.get("padding", 0)
            shape[:] = [channels, *[n + 2 * padding - window + 1 for n in shape[1:]]]
            return (nn.Conv1d if signal else nn.Conv2d)(c, channels, window, padding=padding, groups=options.get("groups", 1))
        if name in ("lstm", "gru"):
            features, shape[1] = shape[1], stage[1]
            return Output((nn.LSTM if name == "lstm" else nn.GRU)(features, stage[1], batch_first=True))
        if name in ("last", "mean"):
            del shape[0]
            return Step(name)
        if name == "encoder":
            layer = nn.TransformerEncoderLayer(shape[1], stage[2], stage[3], 0.0, "gelu", batch_first=True)
            return nn.TransformerEncoder(layer, stage[1])
        if name == "pool":
            shape[:] = [c, *[n // stage[1] for n in shape[1:]]]
            return (nn.MaxPool1d if signal else nn.MaxPool2d)(stage[1])
        if name == "dense":
            shape[:] = [stage[1]]
            return nn.Linear(c, stage[1])
        if name == "flatten":
            shape[:] = [int(np.prod(shape))]
            return nn.Flatten()
        if name == "globalAvg":
            shape[:] = [c]
            return GlobalAvg()
        if name == "batchNorm":
            return (nn.BatchNorm1d if signal else nn.BatchNorm2d)(c)
        return nn.ReLU() if name == "relu" else Residual(nn.Sequential(*map(make, stage[1])))

    model = nn.Sequential(*map(make, task["stages"]))
    at = 0
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.from_numpy(flat[at : at + p.numel()].reshape(tuple(p.shape)).copy()))
            at += p.numel()
    assert at == flat.size
    xs, ys = torch.from_numpy(x.reshape(-1, *image)), torch.from_numpy(y)
    if not signal:
        model, xs = model.to(memory_format=torch.channels_last), xs.contiguous(memory_format=torch.channels_last)
    cost = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)

    def update(count):
        for i in range(count):
            a = (i % batches) * batch
            optimizer.zero_grad(set_to_none=True)
            cost(model(xs[a : a + batch]), ys[a : a + batch]).backward()
            optimizer.step()

    def judge(rows):
        with torch.no_grad():
            result = float(cost(model.eval()(xs[:rows]), ys[:rows]))
        model.train()
        return result

    return update, judge, lambda count: [model(xs[:1]) for _ in range(count)]


def sklearn_peer():
    if task.get("stages"):
        leave("it has no convolutions")
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    if task.get("activeOutput"):
        leave("its last layer has no sigmoid under a squared error")
    kind_of = MLPClassifier if classes else MLPRegressor
    solver = {"solver": "adam"} if task["variant"] == "adam" else {"solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False}
    model = kind_of(
        hidden_layer_sizes=tuple(layers[1:-1]),
        activation={"relu": "relu", "sigmoid": "logistic", "tanh": "tanh"}[task["activation"]],
        alpha=0.0, batch_size=batch, learning_rate_init=rate, learning_rate="constant", shuffle=False, **solver,
    )
    names = {"classes": np.arange(layers[-1])} if classes else {}
    targets = y if classes or layers[-1] > 1 else y[:, 0]
    model.partial_fit(x[:batch], targets[:batch], **names)
    for l in range(len(layers) - 1):
        model.coefs_[l][...] = parameters[2 * l].T
        model.intercepts_[l][...] = parameters[2 * l + 1]
    if task["variant"] == "adam":
        model._optimizer.t = 0
        for moment in model._optimizer.ms + model._optimizer.vs:
            moment[...] = 0

    def update(count):
        for i in range(count):
            a = (i % batches) * batch
            model.partial_fit(x[a : a + batch], targets[a : a + batch])

    def judge(rows):
        if classes:
            return float(-np.log(np.maximum(model.predict_proba(x[:rows])[np.arange(rows), y[:rows]], 1e-30)).mean())
        return float(0.5 * ((model.predict(x[:rows]).reshape(rows, -1) - y[:rows]) ** 2).sum(1).mean())

    def predict(count):
        for _ in range(count):
            model.predict_proba(x[:1]) if classes else model.predict(x[:1])

    return update, judge, predict


update, judge, predict = {"torch": torch_peer, "sklearn": sklearn_peer}[peer]()
result = {"cost": None}
if kind != "prediction":
    update(task["checked"])
    result["cost"] = judge(min(task["judged"], task["samples"]))
work = predict if kind == "prediction" else update
unit = task["samples"] * task["epochs"] if kind == "fit" else 1


def clock(n):
    start = time.perf_counter()
    work(n)
    return time.perf_counter() - start


amount, taken = 1, clock(1)
while taken < task["seconds"] / 4:
    amount = int(np.ceil(amount * min(8, max(2, 0.7 * task["seconds"] / taken))))
    taken = clock(amount)
turns = sorted(1e6 * clock(amount) * unit / amount for _ in range(3 if taken < 4 * task["seconds"] else 1))
result["microseconds"] = turns[len(turns) // 2]
print(json.dumps(result))
