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
for k, n in zip(layers, layers[1:]):
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


def sklearn_peer():
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
