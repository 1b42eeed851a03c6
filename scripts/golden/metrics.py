"""Golden values of metrics: scikit-learn on made predictions, with ties, a class that never occurs and one never predicted."""

import numpy as np
import sklearn
import sklearn.metrics as M
from common import write
from scipy.special import softmax

SEED = 11
rng = np.random.default_rng(SEED)


def rounded(a):
    """Few digits, so that float32 tests and float64 peers meet the same numbers up to rounding, and ties occur."""
    return np.round(a * 8) / 8


def several(n, classes, targets):
    z = rounded(rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[targets])
    z[:, 3] -= 100  # Never predicted.
    predicted = z.argmax(1)
    seen = np.unique(np.concatenate([targets, predicted]))
    macro = dict(average="macro", labels=seen, zero_division=0)
    return {
        "prediction": z.tolist(),
        "target": targets.tolist(),
        "accuracy": M.accuracy_score(targets, predicted),
        "precision": M.precision_score(targets, predicted, **macro),
        "recall": M.recall_score(targets, predicted, **macro),
        "f1": M.f1_score(targets, predicted, **macro),
        "confusionMatrix": M.confusion_matrix(targets, predicted, labels=range(classes)).tolist(),
        "rocAuc": M.roc_auc_score(targets, softmax(z, axis=1), multi_class="ovr"),
    }


def top_k(n, classes, targets):
    z = rng.normal(size=(n, classes)) + np.eye(classes)[targets]
    return {
        "prediction": np.round(z, 3).tolist(),
        "target": targets.tolist(),
        **{f"top{k}": M.top_k_accuracy_score(targets, np.round(z, 3), k=k, labels=range(classes)) for k in (2, 3, 5)},
    }


def binary(n):
    targets = (rng.random(n) < 0.4).astype(int)
    z = rounded(rng.normal(size=n) + targets - 0.5) + 0.0625
    predicted = (z > 0).astype(int)
    return {
        "prediction": z[:, None].tolist(),
        "target": targets[:, None].tolist(),
        "accuracy": M.accuracy_score(targets, predicted),
        "precision": M.precision_score(targets, predicted),
        "recall": M.recall_score(targets, predicted),
        "f1": M.f1_score(targets, predicted),
        "confusionMatrix": M.confusion_matrix(targets, predicted).tolist(),
        "rocAuc": M.roc_auc_score(targets, z),
    }


def regression(n, outputs):
    y = rounded(rng.normal(size=(n, outputs)) * 3)
    p = rounded(y + rng.normal(size=(n, outputs)))
    return {
        "prediction": p.tolist(),
        "target": y.tolist(),
        "mae": M.mean_absolute_error(y, p),
        "mse": M.mean_squared_error(y, p),
        "rmse": float(np.sqrt(M.mean_squared_error(y, p))),
        "r2": M.r2_score(y, p),
    }


BODY = {
    "several": several(60, 5, rng.choice([0, 1, 2, 3, 4], size=60, p=[0.3, 0.3, 0.2, 0.1, 0.1])),
    "topK": top_k(50, 7, rng.integers(0, 7, size=50)),
    "binary": binary(70),
    "one": regression(40, 1),
    "three": regression(40, 3),
}
write("test/golden/metrics.json", "metrics.py", f"scikit-learn {sklearn.__version__}", SEED, BODY)
