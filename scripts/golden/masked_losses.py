"""Golden values of losses of padded sequences: PyTorch's of each element, times a mask, over the mask's sum; writes test/golden/masked-losses.json."""

import numpy as np
import torch
import torch.nn.functional as F
from common import numbers, write

SEED = 11
torch.set_num_threads(1)
rng = np.random.RandomState(SEED)
M, T, K = 4, 5, 3


def draw(*shape):
    return np.round(rng.randn(*shape) * 128) / 64


def simplex(*shape):
    p = rng.randint(1, 60, shape).astype(np.float64)
    return (p / p.sum(-1, keepdims=True)).astype(np.float32).astype(np.float64)


q, y = draw(M, T, K), draw(M, T, K)
bits = rng.randint(0, 2, (M, T, K)).astype(np.float64)
labels = rng.randint(0, K, (M, T))
some = np.where(rng.rand(M, T) < 0.3, -1, labels)
p, r = simplex(M, T, K), simplex(M, T, K)
logs = np.log(r).astype(np.float32).astype(np.float64)
probability = rng.randint(1, 63, (M, T, K)) / 64.0
lengths = np.array([5, 1, 3, 2])
steps = (np.arange(T)[None, :] < lengths[:, None]).astype(np.float64)
MASKS = {"bool": steps, "factors": steps * rng.randint(1, 9, (M, T)) / 4, "none": np.zeros((M, T))}
weight = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)


def tukey(a, b, c=4.685):
    u = ((a - b) / c).clamp(-1, 1) ** 2
    return c * c / 6 * (1 - (1 - u) ** 3)


def rows(f):
    """A function of [rows, classes] and labels, of sequences."""
    return lambda a, b: f(a.reshape(-1, K), b.reshape(-1)).reshape(M, T)


def none(f, **options):
    return lambda a, b: f(a, b, reduction="none", **options)


# Each gives one value a step [M, T] or an element [M, T, K]; the last entry is what a step counts in the mean, by its label.
CASES = [
    ("squaredError", {}, q, y, lambda a, b: 0.5 * ((a - b) ** 2).sum(-1)),
    ("mse", {}, q, y, none(F.mse_loss)),
    ("mae", {}, q, y, none(F.l1_loss)),
    ("huber", {"delta": 1.5}, q, y, none(F.huber_loss, delta=1.5)),
    ("tukeyBisquare", {}, q, y, tukey),
    ("hinge", {}, q, bits * 2 - 1, lambda a, b: (1 - a * b).clamp(min=0)),
    ("bce", {}, probability, bits, none(F.binary_cross_entropy)),
    ("bceWithLogits", {}, q, bits, none(F.binary_cross_entropy_with_logits)),
    ("klDivergence", {}, r, p, lambda a, b: F.kl_div(a.log(), b, reduction="none")),
    ("crossEntropyOf", {}, r, p, lambda a, b: -(b * a.log()).sum(-1)),
    ("crossEntropy", {}, q, labels, rows(none(F.cross_entropy))),
    ("crossEntropy", {"ignoreIndex": -1}, q, some, rows(none(F.cross_entropy, ignore_index=-1)), (some != -1).astype(np.float64)),
    ("crossEntropy", {"weight": weight.tolist()}, q, labels, rows(none(F.cross_entropy, weight=weight)), weight.numpy()[labels]),
    ("nll", {}, logs, labels, rows(none(F.nll_loss))),
    ("multiClassHinge", {}, q, labels, rows(lambda a, b: F.multi_margin_loss(a, b, reduction="none") * K)),
]

cases = []
for name, options, a, b, f, *counts in CASES:
    for kind, mask in MASKS.items():
        x = torch.tensor(a, requires_grad=True)
        target = torch.tensor(b, dtype=torch.long if b.dtype.kind == "i" else torch.float64)
        m = torch.tensor(mask)
        values = f(x, target)
        factor = m if values.dim() == 2 else m[..., None]
        counted = torch.tensor(counts[0]) * m if counts else factor.expand_as(values)
        total = (values * factor).sum()
        mean = total / counted.sum() if float(counted.sum()) > 0 else total * 0
        case = {"loss": name, "options": options, "mask": kind, "prediction": numbers(a), "target": numbers(b), "labels": b.dtype.kind == "i"}
        for reduction, v in (("none", values * factor), ("sum", total), ("mean", mean)):
            (g,) = torch.autograd.grad(v.sum(), x, retain_graph=True)
            case[reduction] = {"value": numbers(v.detach().numpy()), "gradient": numbers(g.numpy())}
        cases.append(case)

body = {"shape": [M, T, K], "lengths": lengths.tolist(), "masks": {k: numbers(v) for k, v in MASKS.items()}, "cases": cases}
write("test/golden/masked-losses.json", "masked_losses.py", f"torch {torch.__version__}", SEED, body)
