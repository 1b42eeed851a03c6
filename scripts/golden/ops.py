"""Golden values of every op: reads what specs.mjs prints, writes test/golden/{ops,composites,probes}.json with PyTorch's."""

import json
import math
import sys
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from common import Stream, numbers, write

SEED = 1
torch.set_num_threads(1)
spec = json.load(sys.stdin)


def region(x, p):
    return tuple(torch.tensor([s + i * t for i in range(n)], dtype=torch.long) for s, n, t in zip(p["starts"], p["sizes"], p["steps"]))


def take_region(x, p):
    for axis, index in enumerate(region(x, p)):
        x = x.index_select(axis, index)
    return x


def place(x, p):
    out = torch.zeros(p["shape"], dtype=x.dtype)
    if x.numel() == 0:
        return out + x.sum()
    grids = torch.meshgrid(*region(x, p), indexing="ij")
    return out.index_put(tuple(grids), x)


def folded(f):
    return lambda p, x: f(x.reshape(x.shape[: p["first"]] + (-1,) + x.shape[p["last"] + 1 :]) if x.numel() else x, p["first"])


def kept_first(f):
    """Ties go to the first: NumPy's rule, which PyTorch does not promise."""
    return folded(lambda x, axis: torch.tensor(f(x.detach().numpy(), axis=axis)))


def cumsum(p, x):
    return x.flip(p["axis"]).cumsum(p["axis"]).flip(p["axis"]) if p["reverse"] else x.cumsum(p["axis"])


def matmul(p, a, b):
    return torch.matmul(a.transpose(-1, -2) if p["transA"] else a, b.transpose(-1, -2) if p["transB"] else b)


def shaped(n, x, axis):
    return list(x.shape[:axis]) + [n] + list(x.shape[axis + 1 :])


def dropout(p, x, counter):
    low, high, update, row = counter.tolist()
    rows = x.reshape(-1, int(np.prod(x.shape[1:]))) if x.dim() > 1 else x.reshape(1, -1)
    streams = [Stream(low + high * 2**32, 2 + 256 * p["layer"], p["first"] + row + r, update) for r in range(rows.shape[0])]
    kept = [[s.word() >= p["rate"] * 2**32 for _ in range(rows.shape[1])] for s in streams]
    mask = torch.tensor(kept, dtype=x.dtype).reshape(x.shape)
    return x * mask / (1 - p["rate"]) if p["rate"] < 1 else x * mask


def random(p, counter):
    low, high, a, row = counter.tolist()
    seed = (low ^ p["mix"][0]) + ((high ^ p["mix"][1]) << 32)
    n = int(np.prod(p["shape"]))
    s = Stream(seed, p["purpose"], a, row if p["byRow"] else 0)
    uniform = lambda: ((s.word() >> 5) * 2**26 + (s.word() >> 6)) / 2**53
    if p["kind"] == "permutation":
        order = list(range(n))
        for i in range(n - 1, 0, -1):
            j = s.bounded(i + 1)
            order[i], order[j] = order[j], order[i]
        return torch.tensor(order)
    if p["kind"] == "normal":
        values = [math.sqrt(-2 * math.log(1 - uniform())) * math.cos(2 * math.pi * uniform()) for _ in range(n)]
    else:
        values = [p["low"] + (p["high"] - p["low"]) * uniform() for _ in range(n)]
    return torch.tensor(values, dtype=torch.float64).reshape(p["shape"])


def unary(f):
    return lambda p, x: f(x)


def binary(f):
    return lambda p, a, b: f(a, b)


def padded(x, p, window, size, value=0.0):
    """x [N, H, W, C] as [N, C, rows, columns] with exactly the cells that the windows reach."""
    x = x.permute(0, 3, 1, 2)
    (top, left), (sh, sw), (dh, dw) = p["padding"], p["stride"], p["dilation"]
    rows = (size[0] - 1) * sh + (window[0] - 1) * dh + 1
    columns = (size[1] - 1) * sw + (window[1] - 1) * dw + 1
    bottom, right = max(0, rows - top - x.shape[2]), max(0, columns - left - x.shape[3])
    return F.pad(x, (left, right, top, bottom), value=value)[:, :, :rows, :columns]


def conv(p, x, w):
    groups, keys = p["groups"], {"stride": p["stride"], "dilation": p["dilation"]}
    if x.numel() == 0:
        return torch.zeros([x.shape[0], *p["size"], w.shape[3]], dtype=x.dtype) + x.sum() + w.sum() * 0
    y = F.conv2d(padded(x, p, w.shape[:2], p["size"]), w.permute(3, 2, 0, 1), groups=groups, **keys)
    return y.permute(0, 2, 3, 1)


def conv_input(p, g, w):
    """The transpose of conv, by autograd."""
    x = torch.zeros([g.shape[0], *p["size"], w.shape[2] * p["groups"]], dtype=g.dtype, requires_grad=True)
    y = conv({**p, "size": list(g.shape[1:3])}, x, w)
    return torch.autograd.grad(y, x, g, create_graph=True)[0]


def conv_weight(p, x, g):
    w = torch.zeros([*p["size"], x.shape[3] // p["groups"], g.shape[3]], dtype=g.dtype, requires_grad=True)
    y = conv({**p, "size": list(g.shape[1:3])}, x, w)
    return torch.autograd.grad(y, w, g, create_graph=True)[0]


def places(p, x):
    """The values of x's windows, last axis, and where the largest stand."""
    n, c = x.shape[0], x.shape[3]
    cells = lambda v, value: F.unfold(
        padded(v, p, p["window"], p["size"], value), p["window"], stride=p["stride"], dilation=p["dilation"]
    ).reshape(n, c, -1, p["size"][0] * p["size"][1])
    return cells, cells(x, -1e300).argmax(2, keepdim=True)


def pool_take(p, t, x):
    if x.numel() == 0:
        return torch.zeros([x.shape[0], *p["size"], x.shape[3]], dtype=x.dtype) + t.sum() + x.sum() * 0
    cells, at = places(p, x.detach())
    return cells(t, 0.0).gather(2, at).squeeze(2).permute(0, 2, 1).reshape(x.shape[0], *p["size"], x.shape[3]) + 0 * x.sum()


def pool_put(p, g, x):
    t = torch.zeros(x.shape, dtype=g.dtype, requires_grad=True)
    return torch.autograd.grad(pool_take(p, t, x.detach()), t, g, create_graph=True)[0] + 0 * x.sum()


def put_of(p, g, y):
    """The gradient of what was pooled; the rows made of it have no derivatives."""
    windows = {"window": p["window"], "stride": p["steps"], "padding": [0, 0], "dilation": [1, 1], "size": list(g.shape[1:3])}
    return pool_put(windows, g, y)


def conv_input_pooled(p, g, y, w):
    return conv_input({**p, "groups": 1}, put_of(p, g, y), w).detach()


def conv_weight_pooled(p, x, g, y):
    return conv_weight({**p, "groups": 1}, x, put_of(p, g, y)).detach()


def attention_parts(p, *inputs):
    """Queries, keys and values [m, heads, steps, features] of the operands, and the mask."""
    h, n = p["heads"], p["operands"]
    x, mask = inputs[:n], inputs[n] if p["masked"] else None
    d = x[0].shape[2] // (3 if n == 1 else 1)
    if n == 1:
        q, k, v = x[0][..., :d], x[0][..., d : 2 * d], x[0][..., 2 * d :]
    elif n == 2:
        q, k, v = x[0], x[1][..., :d], x[1][..., d:]
    else:
        q, k, v = x
    return [t.reshape(t.shape[0], t.shape[1], h, t.shape[2] // h).transpose(1, 2) for t in (q, k, v)], mask


def attention(p, *inputs):
    (q, k, v), mask = attention_parts(p, *inputs)
    scores = q @ k.transpose(2, 3) * p["scale"]
    visible = torch.ones(scores.shape, dtype=torch.bool)
    if p["causal"]:
        visible = visible.tril()
    if mask is not None and not mask.is_floating_point():
        visible = visible & (mask != 0)
    elif mask is not None:
        scores = scores + mask
    weights = torch.softmax(scores.masked_fill(~visible, -1e30), 3).masked_fill(~visible, 0)
    y = (weights @ v).transpose(1, 2)
    return y.reshape(y.shape[0], y.shape[1], y.shape[2] * y.shape[3])


def attention_grad(p, *inputs):
    """The first of the gradients, and so that it can be differentiated in turn."""
    *x, g = inputs
    y = attention(p, *x)
    return torch.autograd.grad(y, x[0], g, create_graph=True)[0]


ROWS = {
    "attention": attention, "attentionGrad": attention_grad,
    "convInputPooled": conv_input_pooled, "convWeightPooled": conv_weight_pooled,
    "conv": conv, "convInput": conv_input, "convWeight": conv_weight,
    "maxPool": lambda p, x: pool_take(p, x, x), "poolTake": pool_take, "poolPut": pool_put,
    "neg": unary(torch.neg), "abs": unary(torch.abs), "sign": unary(torch.sign), "floor": unary(torch.floor),
    "ceil": unary(torch.ceil), "round": unary(torch.round), "square": unary(torch.square), "sqrt": unary(torch.sqrt),
    "rsqrt": unary(torch.rsqrt), "reciprocal": unary(torch.reciprocal), "exp": unary(torch.exp), "expm1": unary(torch.expm1),
    "log": unary(torch.log), "log1p": unary(torch.log1p), "sin": unary(torch.sin), "cos": unary(torch.cos), "tan": unary(torch.tan),
    "asin": unary(torch.asin), "acos": unary(torch.acos), "atan": unary(torch.atan), "sinh": unary(torch.sinh),
    "cosh": unary(torch.cosh), "tanh": unary(torch.tanh), "asinh": unary(torch.asinh), "acosh": unary(torch.acosh),
    "atanh": unary(torch.atanh), "erf": unary(torch.erf), "sigmoid": unary(torch.sigmoid), "logSigmoid": unary(F.logsigmoid),
    # Above PyTorch's default threshold of 20 its softplus is x itself; 1000 leaves that to the logarithm.
    "softplus": unary(lambda x: F.softplus(x, threshold=1000)),
    "relu": unary(torch.relu), "logicalNot": unary(torch.logical_not), "isFinite": unary(torch.isfinite),
    "add": binary(torch.add), "sub": binary(torch.sub), "mul": binary(torch.mul), "div": binary(torch.div), "pow": binary(torch.pow),
    "atan2": binary(torch.atan2), "mod": binary(torch.remainder), "maximum": binary(torch.maximum), "minimum": binary(torch.minimum),
    "equal": binary(torch.eq), "notEqual": binary(torch.ne), "less": binary(torch.lt), "lessEqual": binary(torch.le),
    "greater": binary(torch.gt), "greaterEqual": binary(torch.ge), "logicalAnd": binary(torch.logical_and),
    "logicalOr": binary(torch.logical_or), "where": lambda p, c, a, b: torch.where(c != 0, a, b),
    "cast": unary(lambda x: x.clone()), "stopGradient": unary(lambda x: x.detach().clone()), "optimizationBarrier": unary(lambda x: x.clone()),
    "reshape": lambda p, x: x.reshape(p["shape"]), "transpose": lambda p, x: x.permute(p["permutation"]),
    "slice": lambda p, x: take_region(x, p), "place": lambda p, x: place(x, p), "concat": lambda p, *x: torch.cat(x, p["axis"]),
    "broadcastTo": lambda p, x: x.expand(p["shape"]), "sum": folded(lambda x, i: x.sum(i)),
    "max": folded(lambda x, i: x.amax(i)), "min": folded(lambda x, i: x.amin(i)),
    "argmax": kept_first(np.argmax), "argmin": kept_first(np.argmin),
    "any": folded(lambda x, i: (x != 0).any(i)), "all": folded(lambda x, i: (x != 0).all(i)),
    "cumsum": cumsum, "matmul": matmul,
    "gather": lambda p, x, i: x.index_select(p["axis"], i),
    "scatterAdd": lambda p, x, i: torch.zeros(shaped(p["size"], x, p["axis"]), dtype=x.dtype).index_add(p["axis"], i, x),
    "takeAlong": lambda p, x, i: torch.gather(x, p["axis"], i),
    "putAlong": lambda p, x, i: torch.zeros(shaped(p["size"], x, p["axis"]), dtype=x.dtype).scatter_add(p["axis"], i, x),
    "oneHot": lambda p, i: F.one_hot(i, p["size"]),
    "toIndex": lambda p, x: x.long(),
    "allReduce": lambda p, *x: torch.cat([one.reshape(-1) for one in x]),
    "argsort": lambda p, x: torch.sort(x, stable=True, dim=-1, descending=p["descending"]).indices,
    "softmax": lambda p, x: torch.softmax(x, p["axis"]), "logSoftmax": lambda p, x: torch.log_softmax(x, p["axis"]),
    "logSumExp": lambda p, x: torch.logsumexp(x, p["axis"]),
    "softmaxCrossEntropy": lambda p, z, y: F.cross_entropy(z, y, reduction="none"),
    "softmaxCrossEntropyGrad": lambda p, z, y, g: g[:, None] * (torch.softmax(z, 1) - F.one_hot(y, z.shape[1])),
    "dropout": dropout, "random": random,
}



i64 = lambda *v: torch.tensor(v)
COMPOSITES = {
    "silu": F.silu, "gelu": F.gelu, "geluTanh": lambda x: F.gelu(x, approximate="tanh"), "mish": F.mish, "elu": F.elu,
    "eluHalf": lambda x: F.elu(x, 0.5), "selu": F.selu, "leakyRelu": F.leaky_relu, "leakyReluFifth": lambda x: F.leaky_relu(x, 0.2),
    "hardtanh": F.hardtanh, "clip": lambda x: x.clamp(-0.5, 0.75), "clipAbove": lambda x: x.clamp(max=0.75),
    "siluKinks": F.silu, "geluKinks": F.gelu, "mishKinks": F.mish, "eluKinks": lambda x: F.elu(x, 0.5), "seluKinks": F.selu,
    "leakyReluKinks": F.leaky_relu, "hardtanhKinks": F.hardtanh, "clipKinks": lambda x: x.clamp(-0.5, 0.75),
    "squaredDifference": lambda a, b: (a - b) ** 2, "tril": torch.tril, "triuAbove": lambda x: torch.triu(x, 1),
    "mean": torch.mean, "meanAxes": lambda x: x.mean((0, 2), keepdim=True), "sumAxes": lambda x: x.sum((0, 2)), "sumEmpty": torch.sum,
    "prod": torch.prod, "prodAxis": lambda x: x.prod(1), "prodOneZero": torch.prod, "prodTwoZeros": torch.prod, "prodEmpty": torch.prod,
    "variance": torch.var, "varianceAxis": lambda x: x.var(0, unbiased=False), "std": lambda x: x.std(1), "stdConstant": torch.std,
    "norm": torch.norm, "normAxis": lambda x: torch.linalg.vector_norm(x, dim=1, keepdim=True),
    "normOne": lambda x: torch.linalg.vector_norm(x, 1, dim=1), "normThree": lambda x: torch.linalg.vector_norm(x, 3, dim=0),
    "normInfinity": lambda x: torch.linalg.vector_norm(x, math.inf, dim=1), "normZero": torch.linalg.vector_norm,
    "normThreeSomeZero": lambda x: torch.linalg.vector_norm(x, 3),
    "maxAll": torch.max, "maxAxis": lambda x: x.max(1).values, "minAxes": lambda x: x.amin((0, 2)), "maxTies": torch.max,
    "maxAxisTies": lambda x: x.max(1).values, "minAxisTies": lambda x: x.min(0).values,
    "logSumExpAxes": lambda x: x.logsumexp((0, 2)), "logSumExpLarge": lambda x: x.logsumexp(0),
    "softmaxFirst": lambda x: x.softmax(0), "softmaxLarge": lambda x: x.softmax(0), "logSoftmaxLarge": lambda x: x.log_softmax(0),
    "softmaxCrossEntropyOp": lambda x: F.cross_entropy(x, i64(0, 2, 1), reduction="none"),
    "cumsumAxis": lambda x: x.cumsum(-1), "flip": lambda x: x.flip(0, 2), "pad": lambda x: F.pad(x, (2, 3, 1, 0)),
    "tile": lambda x: torch.tile(x, (2, 1, 3)), "stack": lambda a, b: torch.stack((a, b), 1),
    "concatLast": lambda a, b: torch.cat((a, b, a), -1), "splitSecond": lambda x: x[:, 1:], "squeeze": torch.squeeze,
    "expandDims": lambda x: x.unsqueeze(-1), "sliceSteps": lambda x: x.flip(0)[::2, -1, 1:], "transposeAll": lambda x: x.permute(2, 1, 0),
    "reshapeOpen": lambda x: x.reshape(-1, 2), "gatherGrid": lambda x: x[:, torch.tensor([[2, 0], [2, 1]])],
    "takeAlongFirst": lambda x: torch.gather(x, 0, torch.tensor([[2, 0, 0], [1, 1, 0]])),
    "dot": torch.dot, "outer": torch.outer, "matmulVectors": torch.matmul, "matmulVectorMatrix": torch.matmul,
    "matmulMatrixVector": torch.matmul, "matmulBroadcast": torch.matmul, "matmulSharedLeft": torch.matmul, "linear": F.linear,
    "chain": lambda x, y: torch.tanh(torch.exp(-(x**2)) * y).sum(1), "mixedPowers": lambda x, y: x**y + x**3,
    "relus": lambda x, y: torch.relu(x) * torch.maximum(x, y), "whereMixed": lambda x, y: torch.where(x > y, torch.sin(x), y * 2),
}


def draw(name, case, inputs, coarse):
    """Values that float32 holds: distinct odd multiples of 1/128, so that none is an integer or equals another; coarse: −1, 0, 1."""
    rng = np.random.RandomState((zlib.crc32(f"{name} {case}".encode()) + SEED) % 2**32)
    used = set()
    out = []
    for x in inputs:
        n = int(np.prod(x["shape"]))
        if "values" in x:
            out.append(np.array(x["values"], dtype=np.float64))
        elif "below" in x:
            out.append(rng.randint(0, x["below"], n))
        elif x.get("dtype") == "bool":
            out.append(rng.randint(0, 2, n))
        elif coarse:
            out.append(rng.randint(-1, 2, n).astype(np.float64))
        else:
            low, high = x.get("low", -2), x.get("high", 2)
            grid = [k for k in range(math.ceil(low * 128), math.floor(high * 128) + 1) if k % 2 and k not in used]
            picked = rng.choice(grid, n, replace=False) if n else np.zeros(0)
            used.update(picked.tolist())
            out.append(picked / 128)
    return out, rng


def evaluate(f, inputs, arrays, rng, dtype=torch.float64, g=None):
    xs = []
    for x, a in zip(inputs, arrays):
        integer = "below" in x or x.get("dtype") in ("int32", "bool")
        t = torch.tensor(np.asarray(a), dtype=torch.long if integer else dtype).reshape(x["shape"])
        xs.append(t if integer else t.requires_grad_())
    y = f(*xs)
    case = {"inputs": [numbers(a) for a in arrays]}
    case["value"] = numbers(y.detach().double().numpy())
    if y.requires_grad:
        if g is None:
            g = (2 * rng.randint(-64, 64, tuple(y.shape)) + 1) / 128
            case["g"] = numbers(g)
        wanted = [x for x in xs if x.requires_grad]
        grads = iter(torch.autograd.grad(y, wanted, torch.tensor(np.asarray(g), dtype=y.dtype), allow_unused=True))
        case["grads"] = []
        for x in xs:
            d = next(grads) if x.requires_grad else None
            case["grads"].append(None if not x.requires_grad else numbers(np.zeros(x.shape) if d is None else d.double().numpy()))
    return case


def rows():
    out = {}
    for row in spec["rows"]:
        coarse = row["kind"] == "nondifferentiable" and row["name"] != "stopGradient"
        cases = []
        for i, sample in enumerate(row["samples"]):
            arrays, rng = draw(row["name"], i, sample["inputs"], coarse)
            f = ROWS[row["name"]]
            case = evaluate(lambda *x: f(sample["params"], *x), sample["inputs"], arrays, rng)
            cases.append({"params": sample["params"], "shapes": [x["shape"] for x in sample["inputs"]], **case})
        out[row["name"]] = cases
    return out


def composites():
    out = {}
    for entry in spec["composites"]:
        arrays, rng = draw(entry["name"], 0, entry["inputs"], False)
        case = evaluate(COMPOSITES[entry["name"]], entry["inputs"], arrays, rng)
        out[entry["name"]] = {"shapes": [x["shape"] for x in entry["inputs"]], **case}
    return out


UNARY = [0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 2.0**-26, -(2.0**-26), 3, -3, 20, -20, 100, -100, 1e4, -1e4, math.inf, -math.inf, math.nan]
BINARY = [0.0, -0.0, 1, -1, 2, 0.5, 1e4, -1e4, math.inf, -math.inf, math.nan]


def probes():
    """Kinks, zeros, large magnitudes, infinities, NaN: in each type PyTorch's own result in that type. The cotangent is 1."""
    out = {}
    for row in spec["rows"]:
        arity = len(row["samples"][0]["inputs"])
        if not row["pointwise"] or arity > 2:
            continue
        grid = np.array(UNARY) if arity == 1 else np.stack(np.meshgrid(BINARY, BINARY, indexing="ij")).reshape(2, -1)
        arrays = [grid] if arity == 1 else list(grid)
        inputs = [{"shape": [a.size]} for a in arrays]
        entry = {}
        for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
            f = ROWS[row["name"]]
            case = evaluate(lambda *x: f({}, *x), inputs, arrays, None, dtype, np.ones(arrays[0].size))
            entry[name] = {"value": case["value"], **({"grads": case["grads"]} if "grads" in case else {})}
        out[row["name"]] = entry
    return {"points": {"1": [numbers(UNARY)], "2": [numbers(a) for a in np.stack(np.meshgrid(BINARY, BINARY, indexing="ij")).reshape(2, -1)]}, "rows": out}


peer = f"torch {torch.__version__}"
write("test/golden/ops.json", "ops.py", peer, SEED, {"rows": rows()})
write("test/golden/composites.json", "ops.py", peer, SEED, {"functions": composites()})
write("test/golden/probes.json", "ops.py", peer, SEED, probes())
