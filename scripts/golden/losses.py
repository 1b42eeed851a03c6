"""Golden values of losses: values and gradients by PyTorch in float64; writes test/golden/losses.json."""

import numpy as np
import torch
import torch.nn.functional as F
from common import numbers, write

SEED = 7
torch.set_num_threads(1)
rng = np.random.RandomState(SEED)


def draw(shape, scale=1.0):
    """Numbers that float32 holds exactly."""
    return (np.round(rng.randn(*shape) * scale * 64) / 64).astype(np.float64)


def simplex(shape):
    p = rng.randint(1, 60, shape).astype(np.float64)
    return (p / p.sum(-1, keepdims=True)).astype(np.float32).astype(np.float64)


q = draw((5, 3), 2)
y = draw((5, 3), 2)
probability = (rng.randint(1, 63, (5, 3)) / 64.0)
bits = rng.randint(0, 2, (5, 3)).astype(np.float64)
signs = bits * 2 - 1
z = draw((5, 4), 3)
labels = np.array([0, 3, 1, 3, 2])
p, r = simplex((5, 4)), simplex((5, 4))
classWeight = np.array([0.5, 1, 2, 0.25])
logs = np.log(r)


def tukey(a, b, reduction, c):
    u = ((a - b) / c).clamp(-1, 1) ** 2
    return reduce(c * c / 6 * (1 - (1 - u) ** 3), reduction)


def reduce(v, reduction):
    return v if reduction == "none" else v.sum() if reduction == "sum" else v.mean()


def per_class(f, values):
    """PyTorch divides by the number of classes."""
    return lambda a, b, reduction: f(a, b, reduction=reduction) * values


t = torch.tensor
CASES = [
    ("squaredError", {}, q, y, lambda a, b, red: reduce(0.5 * ((a - b) ** 2).sum(1), red)),
    ("mse", {}, q, y, lambda a, b, red: F.mse_loss(a, b, reduction=red)),
    ("mae", {}, q, y, lambda a, b, red: F.l1_loss(a, b, reduction=red)),
    ("huber", {}, q, y, lambda a, b, red: F.huber_loss(a, b, reduction=red)),
    ("huber", {"delta": 2.5}, q, y, lambda a, b, red: F.huber_loss(a, b, reduction=red, delta=2.5)),
    ("tukeyBisquare", {}, q, y, lambda a, b, red: tukey(a, b, red, 4.685)),
    ("tukeyBisquare", {"c": 1.5}, q, y, lambda a, b, red: tukey(a, b, red, 1.5)),
    ("hinge", {}, q, signs, lambda a, b, red: reduce((1 - a * b).clamp(min=0), red)),
    ("bce", {}, probability, bits, lambda a, b, red: F.binary_cross_entropy(a, b, reduction=red)),
    ("bce", {"weight": [1, 2, 0, 0.5, 3]}, probability, bits,
     lambda a, b, red: F.binary_cross_entropy(a, b, weight=t([1, 2, 0, 0.5, 3.0]).double()[:, None].expand(5, 3), reduction=red)),
    ("bceWithLogits", {}, q * 8, probability, lambda a, b, red: F.binary_cross_entropy_with_logits(a, b, reduction=red)),
    ("klDivergence", {}, r, p, lambda a, b, red: F.kl_div(a.log(), b, reduction=red)),
    ("crossEntropyOf", {}, r, p, lambda a, b, red: reduce(-(b * a.log()).sum(1), red)),
    ("crossEntropy", {}, z, labels, lambda a, b, red: F.cross_entropy(a, b, reduction=red)),
    ("crossEntropy", {}, z, p, lambda a, b, red: F.cross_entropy(a, b, reduction=red)),
    ("crossEntropy", {"labelSmoothing": 0.2}, z, labels, lambda a, b, red: F.cross_entropy(a, b, reduction=red, label_smoothing=0.2)),
    ("crossEntropy", {"weight": classWeight.tolist()}, z, labels, lambda a, b, red: F.cross_entropy(a, b, t(classWeight), reduction=red)),
    ("crossEntropy", {"weight": classWeight.tolist()}, z, p, lambda a, b, red: F.cross_entropy(a, b, t(classWeight), reduction=red)),
    ("crossEntropy", {"weight": classWeight.tolist(), "labelSmoothing": 0.1}, z, labels,
     lambda a, b, red: F.cross_entropy(a, b, t(classWeight), reduction=red, label_smoothing=0.1)),
    ("crossEntropy", {"weight": classWeight.tolist(), "labelSmoothing": 0.1}, z, p,
     lambda a, b, red: F.cross_entropy(a, b, t(classWeight), reduction=red, label_smoothing=0.1)),
    ("nll", {}, logs, labels, lambda a, b, red: F.nll_loss(a, b, reduction=red)),
    ("nll", {"weight": classWeight.tolist()}, logs, labels, lambda a, b, red: F.nll_loss(a, b, t(classWeight), reduction=red)),
    ("multiClassHinge", {}, z, labels, per_class(F.multi_margin_loss, 4)),
    ("multiClassHinge", {"weight": classWeight.tolist()}, z, labels,
     lambda a, b, red: F.multi_margin_loss(a, b, weight=t(classWeight), reduction=red) * 4),
]

cases = []
for name, options, a, b, f in CASES:
    integer = b.dtype.kind == "i"
    case = {"loss": name, "options": options, "shape": list(a.shape), "labels": integer, "prediction": numbers(a), "target": numbers(b)}
    for reduction in ("none", "sum", "mean"):
        x = torch.tensor(a, requires_grad=True)
        v = f(x, torch.tensor(b, dtype=torch.long if integer else torch.float64), reduction)
        (g,) = torch.autograd.grad(v.sum(), x)
        case[reduction] = {"value": numbers(v.detach().numpy()), "gradient": numbers(g.numpy())}
    cases.append(case)

write("test/golden/losses.json", "losses.py", f"torch {torch.__version__}", SEED, {"cases": cases})
