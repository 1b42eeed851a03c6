"""Golden values of functions of float64 where they are hard: near multiples of π/2, where results vanish, cancel, overflow or are
subnormal, and far out. By mpmath with 60 digits more than the argument needs, rounded once; numbers are the base64 of their bytes.
"""

import base64
import random
import struct

import mpmath
from common import write
from mpmath import mp, mpf

mp.prec = 2400
rng = random.Random(3)
U = 2.0 ** -52


def near(x, steps=4):
    """x and its neighbours."""
    bits = struct.unpack("<q", struct.pack("<d", x))[0]
    return [struct.unpack("<d", struct.pack("<q", bits + i))[0] for i in range(-steps, steps + 1)]


def spread(low, high, count=60):
    """Numbers of both signs between two powers of two."""
    return [rng.choice([-1, 1]) * 2 ** rng.uniform(low, high) for _ in range(count)]


def turns():
    """The numbers nearest to multiples of π/2, and far angles."""
    ks = list(range(1, 40)) + [rng.randrange(1, 630000) for _ in range(60)] + [2 ** i for i in range(6, 20)]
    close = [float(k * mp.pi / 2) for k in ks]
    return close + [-x for x in close[::3]] + [x for k in (1, 3, 7) for x in near(float(k * mp.pi / 4))] + \
        [1e6, 1000001.0, -3e7, 1e22, 2.0 ** 1000, 1.7976931348623157e308]


TINY = [5e-324, -1e-310, 2.2250738585072014e-308, 1e-200, -1e-20, 1e-8]
ONE = [1 - U / 2, 1 - U, 1 - 3 * U, 1 - 2.0 ** -30, 0.9, -0.9999, 0.5, 0.7071067811865476]
ARGUMENTS = {
    "expm1": TINY + spread(-40, 9) + near(709.782712893384) + near(0.34657359027997264) + near(-0.34657359027997264) + [-36.7, -745.0],
    "log1p": TINY + spread(-40, -1) + [-x for x in ONE] + near(0.41421356237309515) + near(-0.2928932188134524) + [1e15, 1e16, 1e300, 1.7e308],
    "sin": TINY + spread(-30, 19) + turns(),
    "cos": TINY + spread(-30, 19) + turns(),
    "tan": TINY + spread(-30, 19) + turns(),
    "asin": TINY + spread(-30, 0) + ONE + [-x for x in ONE],
    "acos": TINY + spread(-30, 0) + ONE + [-x for x in ONE],
    "atan": TINY + spread(-30, 30) + near(0.66) + near(2.414213562373095) + [1e16, -1e300],
    "sinh": TINY + spread(-30, 9) + near(700.0) + near(710.4758600739439) + near(0.34657359027997264),
    "cosh": TINY + spread(-30, 9) + near(700.0) + near(710.4758600739439),
    "asinh": TINY + spread(-30, 900) + near(1e8) + [1e154, 1.7e308],
    "acosh": near(1.0, 8)[8:] + [1 + abs(x) for x in spread(-50, 0)] + [abs(x) for x in spread(1, 900)] + near(1e8),
    "atanh": TINY + spread(-30, -1) + ONE + near(0.5),
    "erf": TINY + spread(-30, 2.6) + near(1.0) + near(6.0) + [5.8, 5.9, 5.92, 27.0],
}
PAIRS = {
    "pow": [(abs(a), b) for a, b in zip(spread(-60, 60), spread(-9, 4))]
    + [(1 + x, 700 / x * rng.uniform(-1, 1)) for x in spread(-45, -2)]
    + [(a, e / float(mpmath.log(a))) for a in (0.3, 1.7, 2.0, 10.0, 1e-300, 5e-324, 1.4142135623730951) for e in (709.78, -708.5, -740.0, -745.1)]
    + [(-a, float(n)) for a in (0.5, 3.0, 1.0000001) for n in (-41, -2, 5, 1024)],
    "atan2": list(zip(spread(-60, 60), spread(-60, 60))) + list(zip(spread(-1, 1), spread(-1, 1))) + [(1e-300, -1e300), (5e-324, 3.0), (-1e300, -1e-300)],
}


def nearest(y):
    """The double nearest to y, by its bits, however small."""
    if abs(y) >= mpf(2) ** 1024 - mpf(2) ** 970:
        return float("inf") if y > 0 else float("-inf")
    mantissa, exponent = mpmath.frexp(y)
    ulp = mpf(2) ** max(int(exponent) - 53, -1074) if y != 0 else mpf(1)
    return float(mpmath.nint(y / ulp) * ulp)


def packed(numbers):
    return base64.b64encode(struct.pack(f"<{len(numbers)}d", *numbers)).decode()


functions = {}
for name, xs in ARGUMENTS.items():
    functions[name] = {"x": packed(xs), "value": packed([nearest(getattr(mpmath, name)(mpf(x)).real) for x in xs])}
for name, pairs in PAIRS.items():
    f = {"pow": mpmath.power, "atan2": mpmath.atan2}[name]
    functions[name] = {
        "x": packed([x for x, _ in pairs]), "y": packed([y for _, y in pairs]),
        "value": packed([nearest(mpmath.re(f(mpf(x), mpf(y)))) for x, y in pairs]),
    }
write("test/golden/functions.json", "functions.py", f"mpmath {mpmath.__version__}", 3, functions)
