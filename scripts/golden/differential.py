"""Golden values of training in random configurations: model, loss, optimiser, clipping, weights, batches, all drawn by chance, trained by
PyTorch. Weights and data are drawn by a rule that both languages share, so the table holds configurations and results alone; writes
test/golden/differential.json."""

import json
import math
import random

import torch
import torch.nn.functional as F
from common import permutation

SEED = 10
ORDER = 1
COUNT = 400
torch.set_num_threads(1)
chance = random.Random(SEED)


class Draws:
    """A linear congruential generator: numbers in [-1, 1) that float32 holds."""

    def __init__(self, seed):
        self.state = seed

    def one(self):
        self.state = (self.state * 1664525 + 1013904223) % 2**32
        return (self.state >> 8) / 2**23 - 1

    def many(self, n):
        return [self.one() for _ in range(n)]


ACTIVATIONS = {
    "Identity": lambda z: z, "ReLU": F.relu, "Tanh": torch.tanh, "Sigmoid": torch.sigmoid, "LeakyReLU": F.leaky_relu, "ELU": F.elu,
    "SELU": F.selu, "GELU": F.gelu, "SiLU": F.silu, "Mish": F.mish, "Softplus": F.softplus, "LogSigmoid": F.logsigmoid,
    "Hardtanh": F.hardtanh,
}
HEADS = {"bce": "Sigmoid", "nll": "LogSoftmax", "klDivergence": "Softmax", "crossEntropyOf": "Softmax"}
LOSSES = ["squaredError", "mse", "mae", "huber", "tukeyBisquare", "hinge", "bce", "bceWithLogits", "crossEntropy", "nll",
          "multiClassHinge", "klDivergence", "crossEntropyOf"]
CLASSES = ["crossEntropy", "nll", "multiClassHinge"]


def maybe(p):
    return chance.random() < p


def rounded(low, high):
    return round(chance.uniform(low, high), 3)


def draw_optimizer():
    name = chance.choice(["gradientDescent", "gradientDescent", "adam", "adamW", "rmsProp", "adagrad"])
    o = {"learningRate": rounded(0.005, 0.05)}
    if maybe(0.3):
        o["weightDecay"] = rounded(0, 0.1)
    if name == "gradientDescent" and maybe(0.6):
        o["momentum"] = rounded(0.1, 0.9)
        if maybe(0.4):
            o["nesterov"] = True
    if name in ("adam", "adamW") and maybe(0.5):
        o["betas"] = [rounded(0.5, 0.95), rounded(0.8, 0.999)]
        o["eps"] = chance.choice([1e-8, 1e-4, 1e-2])
    if name == "adam" and maybe(0.3):
        o["amsgrad"] = True
    if name == "rmsProp":
        o.update(chance.choice([{}, {"rho": rounded(0.5, 0.95)}, {"momentum": rounded(0.1, 0.9)}, {"centered": True, "eps": 1e-2}]))
    if name == "adagrad" and maybe(0.5):
        o.update({"decay": rounded(0.01, 0.2), "initialAccumulator": rounded(0.1, 1)})
    return name, o


def draw_config():
    c = {}
    c["loss"] = loss = chance.choice(LOSSES)
    c["samples"] = m = 1100 if maybe(0.03) else chance.randint(5, 23)
    several = loss in CLASSES + ["klDivergence", "crossEntropyOf"]
    outputs = chance.randint(2, 4) if several else chance.randint(1, 3)
    hidden = [chance.randint(2, 5) for _ in range(chance.choice([0, 1, 1, 2]))]
    c["widths"] = [chance.randint(1, 4), *hidden, outputs]
    c["activation"] = chance.choice(list(ACTIVATIONS))
    norm = chance.choice(["", "", "BatchNorm1d", "LayerNorm"]) if hidden else ""
    if norm:
        c["norm"] = norm
    if maybe(0.15):
        c["embedding"] = [chance.randint(3, 6), chance.randint(1, 3)]
    if maybe(0.2) and norm != "BatchNorm1d":
        c["bias"] = False
    if maybe(0.15) and hidden:
        c["freeze"] = True
    options = {}
    if loss == "huber":
        options["delta"] = rounded(0.2, 2)
    if loss == "tukeyBisquare":
        options["c"] = rounded(1, 5)
    if loss in CLASSES and maybe(0.4):
        options["weight"] = [rounded(0.25, 3) for _ in range(outputs)]
    if loss == "crossEntropy":
        if maybe(0.3):
            options["labelSmoothing"] = rounded(0, 0.5)
        if maybe(0.3):
            c["distribution"] = True
            if "labelSmoothing" in options:
                del options["labelSmoothing"]
    if options:
        c["lossOptions"] = options
    if maybe(0.35):
        c["weights"] = True
    c["trainer"] = chance.choice(["FBGD", "SGD", "MBSGD", "MBSGD", "MBSGD"]) if norm != "BatchNorm1d" else chance.choice(["FBGD", "MBSGD"])
    if c["trainer"] == "SGD":
        c.pop("weights", None)
        c["samples"] = m = min(m, 12)
    if c["trainer"] == "MBSGD":
        c["batchSize"] = chance.randint(2, 8) if m < 100 else 300
        if maybe(0.2):
            c["dropLast"] = True
        if maybe(0.2) and norm != "BatchNorm1d":
            c["accumulate"] = chance.randint(2, 3)
    c["epochs"] = chance.randint(1, 3)
    c["optimizer"], c["options"] = draw_optimizer()
    if maybe(0.25):
        c["clipNorm"] = rounded(0.02, 1)
    if maybe(0.2):
        c["clipValue"] = rounded(0.01, 0.3)
    size = c.get("batchSize", 1) * c.get("accumulate", 1)
    # One value a feature has no variance.
    if norm == "BatchNorm1d" and c["trainer"] == "MBSGD" and m % size == 1 and not (c.get("dropLast") and m >= size):
        return draw_config()
    return c


def shapes(c):
    """The parameters, in the order in which the model lists them: name, shape, factor of the draws."""
    first, *rest = c["widths"]
    out = []
    n = first
    if "embedding" in c:
        count, features = c["embedding"]
        out.append(("embedding", (count, features), 1))
        n = first * features
    for i, width in enumerate(rest):
        last = i == len(rest) - 1
        out.append(("weight", (width, n), 1 if n < 4 else 0.5))
        if c.get("bias", True) and not (c.get("norm") == "BatchNorm1d" and not last):
            out.append(("bias", (width,), 0.25))
        if "norm" in c and not last:
            out.append(("scale", (width,), 1))
            out.append(("shift", (width,), 0.5))
        n = width
    return out


def start(c, seed):
    draws = Draws(seed)
    parameters = [[v * factor for v in draws.many(math.prod(shape))] for _, shape, factor in shapes(c)]
    m, inputs, outputs = c["samples"], c["widths"][0], c["widths"][-1]
    x = draws.many(m * inputs)
    x = [math.floor((v + 1) / 2 * c["embedding"][0]) for v in x] if "embedding" in c else [2 * v for v in x]
    loss = c["loss"]
    if loss in CLASSES and not c.get("distribution"):
        y = [math.floor((v + 1) / 2 * outputs) for v in draws.many(m)]
    else:
        y = draws.many(m * outputs)
        if loss == "hinge":
            y = [1 if v >= 0 else -1 for v in y]
        elif loss in ("bce", "bceWithLogits"):
            y = [(v + 1) / 2 for v in y]
        elif loss in ("crossEntropy", "klDivergence", "crossEntropyOf"):
            rows = [[(v + 1) / 2 + 0.125 for v in y[i * outputs:(i + 1) * outputs]] for i in range(m)]
            y = [v / sum(row) for row in rows for v in row]
    weights = [(v + 1) * 2 for v in draws.many(m)] if c.get("weights") else None
    return parameters, x, y, weights


def forward(c, parameters, buffers, x):
    it = iter(parameters)
    running = iter(buffers)
    act = ACTIVATIONS[c["activation"]]
    z = x
    rest = c["widths"][1:]
    if "embedding" in c:
        z = F.embedding(x.long(), next(it)).flatten(1)
    for i in range(len(rest)):
        last = i == len(rest) - 1
        weight = next(it)
        bias = next(it) if c.get("bias", True) and not (c.get("norm") == "BatchNorm1d" and not last) else None
        z = F.linear(z, weight, bias)
        if last:
            break
        if c.get("norm") == "BatchNorm1d":
            z = F.batch_norm(z, next(running), next(running), next(it), next(it), training=True)
        if c.get("norm") == "LayerNorm":
            z = F.layer_norm(z, z.shape[1:], next(it), next(it))
        z = act(z)
    head = HEADS.get(c["loss"])
    if head == "Sigmoid":
        return torch.sigmoid(z)
    if head == "Softmax":
        return torch.softmax(z, 1)
    return torch.log_softmax(z, 1) if head else z


def losses_of(c, p, y):
    """One loss a sample, and the factors that the mean divides by."""
    o = dict(c.get("lossOptions", {}))
    w = torch.tensor(o["weight"], dtype=p.dtype) if "weight" in o else None
    ones = torch.ones(len(p), dtype=p.dtype)
    loss = c["loss"]
    r = p - y if loss in ("squaredError", "mse", "mae", "huber", "tukeyBisquare") else None
    if loss == "squaredError":
        return 0.5 * (r * r).sum(1), ones
    if loss == "mse":
        return F.mse_loss(p, y, reduction="none").mean(1), ones
    if loss == "mae":
        return F.l1_loss(p, y, reduction="none").mean(1), ones
    if loss == "huber":
        return F.huber_loss(p, y, reduction="none", delta=o["delta"]).mean(1), ones
    if loss == "tukeyBisquare":
        k = o["c"]
        inside = k * k / 6 * (1 - (1 - (r / k) ** 2) ** 3)
        return torch.where(r.abs() <= k, inside, torch.full_like(r, k * k / 6)).mean(1), ones
    if loss == "hinge":
        return torch.relu(1 - y * p).mean(1), ones
    if loss == "bce":
        return F.binary_cross_entropy(p, y, reduction="none").mean(1), ones
    if loss == "bceWithLogits":
        return F.binary_cross_entropy_with_logits(p, y, reduction="none").mean(1), ones
    if loss == "crossEntropy":
        values = F.cross_entropy(p, y, weight=w, reduction="none", label_smoothing=o.get("labelSmoothing", 0.0))
        return values, ones if w is None or c.get("distribution") else w[y]
    if loss == "nll":
        return F.nll_loss(p, y, weight=w, reduction="none"), ones if w is None else w[y]
    if loss == "multiClassHinge":
        return F.multi_margin_loss(p, y, weight=w, reduction="none") * p.shape[1], ones
    if loss == "klDivergence":
        return F.kl_div(p.log(), y, reduction="none").mean(1), ones
    return -(y * p.log()).sum(1), ones


def make(name, o, ps):
    common = {"lr": o["learningRate"], "weight_decay": o.get("weightDecay", 0)}
    if name == "gradientDescent":
        return torch.optim.SGD(ps, momentum=o.get("momentum", 0), nesterov=o.get("nesterov", False), **common)
    if name in ("adam", "adamW"):
        common["weight_decay"] = o.get("weightDecay", 0 if name == "adam" else 0.01)
        extra = {"betas": tuple(o.get("betas", (0.9, 0.999))), "eps": o.get("eps", 1e-8), **common}
        return torch.optim.Adam(ps, amsgrad=o.get("amsgrad", False), **extra) if name == "adam" else torch.optim.AdamW(ps, **extra)
    if name == "rmsProp":
        return torch.optim.RMSprop(ps, alpha=o.get("rho", 0.99), eps=o.get("eps", 1e-8), momentum=o.get("momentum", 0),
                                   centered=o.get("centered", False), **common)
    return torch.optim.Adagrad(ps, lr_decay=o.get("decay", 0), initial_accumulator_value=o.get("initialAccumulator", 0), **common)


def train(c, seed, dtype):
    values, xs, ys, ws = start(c, seed)
    m = c["samples"]
    named = shapes(c)
    parameters = [torch.tensor(v, dtype=dtype).reshape(shape) for v, (_, shape, _) in zip(values, named)]
    first = next(i for i, (name, _, _) in enumerate(named) if name == "weight")
    frozen = set()
    if c.get("freeze"):
        frozen = {first} | ({first + 1} if named[first + 1][0] == "bias" else set())
    trained = [p.requires_grad_() for i, p in enumerate(parameters) if i not in frozen]
    buffers = []
    if c.get("norm") == "BatchNorm1d":
        for width in c["widths"][1:-1]:
            buffers += [torch.zeros(width, dtype=dtype), torch.ones(width, dtype=dtype)]
    x = torch.tensor(xs, dtype=dtype).reshape(m, -1)
    labels = c["loss"] in CLASSES and not c.get("distribution")
    y = torch.tensor(ys) if labels else torch.tensor(ys, dtype=dtype).reshape(m, -1)
    w = None if ws is None else torch.tensor(ws, dtype=dtype)
    optimizer = make(c["optimizer"], c["options"], trained)
    size = {"FBGD": m, "SGD": 1}.get(c["trainer"], c.get("batchSize", 1) * c.get("accumulate", 1))
    costs = []
    for epoch in range(c["epochs"]):
        order = list(range(m)) if c["trainer"] == "FBGD" else permutation(m, SEED, ORDER, epoch)
        total, seen = 0.0, 0
        for at in range(0, m, size):
            rows = order[at:at + size]
            if c.get("dropLast") and len(rows) < size and m >= size:
                continue
            values, factors = losses_of(c, forward(c, parameters, buffers, x[rows]), y[rows])
            if w is not None:
                values, factors = values * w[rows], factors * w[rows]
            cost = values.sum() / factors.sum()
            optimizer.zero_grad()
            cost.backward()
            if "clipValue" in c:
                torch.nn.utils.clip_grad_value_(trained, c["clipValue"])
            if "clipNorm" in c:
                torch.nn.utils.clip_grad_norm_(trained, c["clipNorm"])
            optimizer.step()
            total += cost.item() * len(rows)
            seen += len(rows)
        costs.append(total / seen)
    # One number for each tensor in which every element counts.
    sums = [sum(v * (1 + (i * 7) % 13 / 8) for i, v in enumerate(t.detach().flatten().tolist())) for t in parameters + buffers]
    return costs + sums


lines = []
index = 0
while len(lines) < COUNT:
    index += 1
    c = draw_config()
    exact, coarse = train(c, index, torch.float64), train(c, index, torch.float32)
    drift = max(abs(a - b) / max(1, abs(a)) for a, b in zip(exact, coarse))
    # Where float32 leads PyTorch itself elsewhere, nothing is to be compared.
    if not all(map(math.isfinite, exact)) or drift > 1e-3:
        continue
    row = {"seed": index, **c, "drift": float(f"{drift:.1e}"), "results": [float(f"{v:.12g}") for v in exact]}
    lines.append(json.dumps(row, separators=(",", ":")))

with open("test/golden/differential.json", "w") as f:
    head = json.dumps({"generator": "scripts/golden/differential.py", "peer": f"torch {torch.__version__}", "seed": SEED})[:-1]
    f.write(head + ',\n"runs": [\n' + ",\n".join(lines) + "\n]}\n")
