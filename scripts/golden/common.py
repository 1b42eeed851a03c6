"""What the makers of golden values share: numbers as short JSON, the header, and the library's own generator of orders."""

import json
import math
import struct
import sys

import numpy as np


def numbers(values):
    """A flat list; what JSON cannot hold is text."""
    out = []
    for v in np.asarray(values, dtype=np.float64).ravel().tolist():
        if math.isnan(v):
            out.append("nan")
        elif math.isinf(v):
            out.append("inf" if v > 0 else "-inf")
        else:
            out.append(int(v) if v == int(v) and abs(v) < 1e15 and not (v == 0 and math.copysign(1, v) < 0) else v)
    return out


def write(path, script, peer, seed, body):
    head = {"generator": f"scripts/golden/{script}", "peer": peer, "seed": seed}
    # One line a top-level entry of the body, so that differences can be read.
    def lines(value, depth):
        if depth == 0 or not isinstance(value, (dict, list)) or not value:
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        if isinstance(value, list):
            return "[\n" + ",\n".join(lines(v, depth - 1) for v in value) + "\n]"
        return "{\n" + ",\n".join(f"{json.dumps(k)}: {lines(v, depth - 1)}" for k, v in value.items()) + "\n}"

    text = lines({**head, **body}, 3) + "\n"
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    print(f"{path}: {len(text)} bytes", file=sys.stderr)


def short(values):
    """A flat list to 13 digits."""
    return [float(f"{v:.13g}") if isinstance(v, float) else v for v in numbers(values.detach() if hasattr(values, "detach") else values)]


def save(path, state):
    """A safetensors file in float32, as the format's own library writes it: integers stay integers."""
    header, data = {}, b""
    for name, value in state.items():
        array = value.numpy()
        whole = array.dtype == np.int64
        raw = (array if whole else array.astype("<f4")).tobytes()
        header[name] = {"dtype": "I64" if whole else "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def philox(counter, key):
    """Ten rounds of Philox 4x32, as lib/util/random.ts."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    mask = 0xFFFFFFFF
    for _ in range(10):
        p0 = 0xD2511F53 * c0
        p1 = 0xCD9E8D57 * c2
        c0, c1, c2, c3 = ((p1 >> 32) ^ c1 ^ k0) & mask, p1 & mask, ((p0 >> 32) ^ c3 ^ k1) & mask, p0 & mask
        k0 = (k0 + 0x9E3779B9) & mask
        k1 = (k1 + 0xBB67AE85) & mask
    return c0, c1, c2, c3


class Stream:
    """The words of one stream, in order."""

    def __init__(self, seed, purpose, a, b):
        self.key = (seed & 0xFFFFFFFF, seed >> 32)
        self.rest = (a, b, purpose)
        self.position = 0

    def word(self):
        words = philox((self.position >> 2, *self.rest), self.key)
        self.position += 1
        return words[(self.position - 1) & 3]

    def bounded(self, n):
        word = self.word()
        low = (word * n) & 0xFFFFFFFF
        if low < n:
            threshold = (2**32 - n) % n
            while low < threshold:
                word = self.word()
                low = (word * n) & 0xFFFFFFFF
        return (word * n) >> 32


def permutation(n, seed, purpose, a, b=0):
    """Fisher-Yates from the end, as lib/util/random.ts."""
    stream = Stream(seed, purpose, a, b)
    out = list(range(n))
    for i in range(n - 1, 0, -1):
        j = stream.bounded(i + 1)
        out[i], out[j] = out[j], out[i]
    return out
