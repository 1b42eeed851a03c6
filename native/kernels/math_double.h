// Functions of double that the compiler makes vectors of, for *_isa.cc only: within four units in the last place over all of their range,
// most within two, and right at zeros, infinities and NaN (measured: see the tests of accuracy). Where one number in a million would need
// another way (far angles, huge quotients), that is libm's, and the loops of elementwise_isa.cc look for such numbers first.
//
// Odd functions are made of |x| and take x's sign back, so that −0 stays −0. NaN fails every comparison and goes through.
#pragma once

#include "math_wide.h"

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {
namespace wide {

// A number as the sum of two, the second below half a unit of the first.
struct Two {
  double high, low;
};

WENGERT_INLINE Two TwoSum(double a, double b) {
  const double s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}
// Of |a| >= |b|, or a = 0.
WENGERT_INLINE Two QuickSum(double a, double b) {
  const double s = a + b;
  return {s, b - (s - a)};
}

#if defined(__FMA__) || defined(__aarch64__)
WENGERT_INLINE Two TwoProduct(double a, double b) {
  const double p = a * b;
  return {p, Fma(a, b, -p)};
}
#else
// Halves of 26 bits, whose products are exact; of numbers below 2^996.
WENGERT_INLINE Two Halves(double a) {
  const double t = 134217729.0 * a, high = t - (t - a);
  return {high, a - high};
}
WENGERT_INLINE Two TwoProduct(double a, double b) {
  const double p = a * b;
  const Two x = Halves(a), y = Halves(b);
  return {p, ((x.high * y.high - p) + x.high * y.low + x.low * y.high) + x.low * y.low};
}
#endif

// The integer part of a number of 0 … 2^52.
WENGERT_INLINE double Trunc(double a) {
  const double n = (a + 4503599627370496.0) - 4503599627370496.0;
  return n > a ? n - 1.0 : n;
}

// x = n · π/2 + high + low: π/2 is of four parts, the products of the first three with n exact up to kFarthest, and no digit of a small
// difference is lost.
struct Angle {
  double high, low;
  std::uint64_t n;  // its low bits
};
WENGERT_INLINE Angle TurnFully(double x) {
  const double sum = x * 0.636619772367581343076 + kRound64;
  const double n = sum - kRound64;
  const Two a = TwoSum(x - n * 1.57079632673412561417e+00, -(n * 6.07710050630396597660e-11));
  const Two b = TwoSum(a.high, -(n * 2.02226624871116645580e-21));
  const double rest = (a.low + b.low) - n * 8.47842766036889956997e-32;
  const double high = b.high + rest;
  return {high, rest - (high - b.high), Bits(sum)};
}

// sin and cos of high + low, |high| <= π/4.
WENGERT_INLINE double SinOf(const Angle& t) {
  const double x = t.high, z = x * x;
  const double p = Horner(z, 1.58969099521155010221e-10, -2.50507602534068634195e-8, 2.75573137070700676789e-6, -1.98412698298579493134e-4,
      8.33333333332248946124e-3);
  const double v = z * x;
  return x - ((z * (0.5 * t.low - v * p) - t.low) - v * -1.66666666666666324348e-1);
}
WENGERT_INLINE double CosOf(const Angle& t) {
  const double x = t.high, z = x * x;
  const double p = Horner(z, -1.13596475577881948265e-11, 2.08757232129817482790e-9, -2.75573143513906633035e-7, 2.48015872894767294178e-5,
      -1.38888888888741095749e-3, 4.16666666666666019037e-2);
  const double half = 0.5 * z, w = 1.0 - half;
  return w + (((1.0 - w) - half) + (z * (p * z) - x * t.low));
}

// Of |x| <= kFarthest, infinities and NaN.
WENGERT_INLINE double SinNear(double x) {
  const Angle t = TurnFully(x);
  const double y = (t.n & 1) != 0 ? CosOf(t) : SinOf(t);
  return x == 0.0 ? x : (t.n & 2) != 0 ? -y : y;
}
WENGERT_INLINE double CosNear(double x) {
  const Angle t = TurnFully(x);
  const double y = (t.n & 1) != 0 ? SinOf(t) : CosOf(t);
  return ((t.n + 1) & 2) != 0 ? -y : y;
}
WENGERT_INLINE double TanNear(double x) {
  const Angle t = TurnFully(x);
  const double sine = SinOf(t), cosine = CosOf(t);
  const bool odd = (t.n & 1) != 0;
  return x == 0.0 ? x : (odd ? -cosine : sine) / (odd ? sine : cosine);
}
WENGERT_INLINE bool Far(double x) { return Abs(x) > static_cast<double>(kFarthest) && Abs(x) <= 1.7976931348623157e308; }

// atan of a >= 0: a rational function by S. Moshier (Cephes), after a turn of π/4 or π/2.
WENGERT_INLINE double AtanFully(double a) {
  const bool quarter = a > 0.66, half = a > 2.41421356237309504880;
  const double over = half ? -1.0 : quarter ? a - 1.0 : a;
  const double under = half ? a : quarter ? a + 1.0 : 1.0;
  const double t = over / under;
  const double z = t * t;
  const double p = Horner(z, -8.750608600031904122785e-1, -1.615753718733365076637e1, -7.500855792314704667340e1,
      -1.228866684490136173410e2, -6.485021904942025371773e1);
  const double q = Horner(z, z + 2.485846490142306297962e1, 1.650270098316988542046e2, 4.328810604912902668951e2,
      4.853903996359136964868e2, 1.945506571482613964425e2);
  // What π/2 and π/4 lose as numbers.
  const double rest = half ? 6.123233995736765886130e-17 : quarter ? 3.061616997868382943065e-17 : 0.0;
  return (half ? kHalfPi : quarter ? 0.5 * kHalfPi : 0.0) + (Fma(t, z * (p / q), rest) + t);
}

// ln a as a sum of two numbers, to 64 bits; a >= 0. By s = (m − 1)/(m + 1): ln m = 2s + s³ (2/3 + 2/5 s² + …).
WENGERT_INLINE Two LogFully(double a) {
  const bool tiny = a < 2.2250738585072014e-308;
  const double scaled = tiny ? a * 4503599627370496.0 : a;
  const std::uint64_t shifted = Bits(scaled) - kRootHalf64;
  const std::uint64_t exponent = (shifted + (std::uint64_t{2048} << 52)) >> 52;
  const double n = FromBits(exponent | std::uint64_t{0x4330000000000000}) - (tiny ? 4503599627372596.0 : 4503599627372544.0);
  const double m = FromBits((shifted & std::uint64_t{0x000fffffffffffff}) + kRootHalf64);
  const double f = m - 1.0, d = m + 1.0;
  const double high = f / d;
  const Two back = TwoProduct(high, d);
  const Two s = {high, (((f - back.high) - back.low) - high * (m - (d - 1.0))) / d};
  const Two square = TwoProduct(s.high, s.high);
  const double z = square.high, z_low = square.low + 2.0 * (s.high * s.low);
  const double p = Horner(z, 2.0 / 25, 2.0 / 23, 2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5);
  // 2/3 as two numbers, with what follows.
  const Two c = QuickSum(2.0 / 3, Fma(p, z, 3.70074341541718835e-17));
  const Two cz = TwoProduct(c.high, z);
  const double cz_low = cz.low + (c.high * z_low + c.low * z);
  const Two tail = TwoProduct(cz.high, s.high);
  const double tail_low = tail.low + (cz.high * s.low + cz_low * s.high);
  const Two whole = TwoSum(n * 6.93147180369123816490e-1, 2.0 * s.high);
  const Two sum = TwoSum(whole.high, tail.high);
  const double rest = sum.low + (whole.low + (Fma(n, 1.90821492927058770002e-10, 2.0 * s.low) + tail_low));
  const Two y = QuickSum(sum.high, rest);
  // Where there is no finite logarithm the second part is none, either.
  const bool finite = a > 0.0 && a <= 1.7976931348623157e308;
  return {finite ? y.high : a == 0.0 ? -Infinity() : a, finite ? y.low : 0.0};
}

// e^(high + low), rounded nearly once: what is a number, as 3^2 is, comes out as it.
WENGERT_INLINE double ExpOf(double high, double low) {
  double x = high < -746.0 ? -746.0 : high;
  x = x > 711.0 ? 711.0 : x;
  const double n = Fma(x, 1.4426950408889634074, kRound64) - kRound64;
  const Two rest = TwoSum(x - n * 6.93147180369123816490e-1, -(n * 1.90821492927058770002e-10));
  const Two r = TwoSum(rest.high, rest.low + low);
  const Two y = QuickSum(1.0, r.high);
  const double sum = y.high + (y.low + (ExpTail(r.high) * (r.high * r.high) + r.low));
  const double half = Fma(n, 0.5, kRound64);
  return sum * PowerOfTwo(half) * PowerOfTwo((n - (half - kRound64)) + kRound64);
}

// Whether the remainder of a by b is one of products that are exact.
WENGERT_INLINE bool Divides(double a, double b) {
  const double x = Abs(a), y = Abs(b);
  return (x < y * 2251799813685248.0) & (x < 1e290) & (y < 1e290) & (y > 1e-270);
}
WENGERT_INLINE bool Divides(float a, float b) { return (Abs(a) < Abs(b) * 268435456.0f) & (Abs(b) <= 3.40282347e38f); }

// The remainder of |a| by |b|, from a quotient that may be one too large.
WENGERT_INLINE double Rest(double a, double b) {
  const Two p = TwoProduct(Trunc(a / b), b);
  const double r = (a - p.high) - p.low;
  return r < 0.0 ? r + b : r >= b ? r - b : r;
}
WENGERT_INLINE float Rest(float a, float b) {
  // The product of 29 and 24 bits is a double.
  const double x = a, y = b;
  const double r = x - Trunc(x / y) * y;
  return static_cast<float>(r < 0.0 ? r + y : r >= y ? r - y : r);
}
// Of numbers of which the first `Divides` by the second: the remainder with the sign of b, 0 with that of a.
template <class F>
WENGERT_INLINE F ModNear(F a, F b) {
  const F rest = CopySign(Rest(Abs(a), Abs(b)), a);
  return (rest != F(0)) & ((rest < F(0)) != (b < F(0))) ? rest + b : rest;
}

}  // namespace wide

WENGERT_INLINE double Expm1(double x) {
  const double most = x > 709.79 ? 709.79 : x, t = most < -40.0 ? -40.0 : most;
  const double sum = Fma(t, 1.4426950408889634074, kRound64);
  const double n = sum - kRound64;
  const double r = Fma(n, -1.90821492927058770002e-10, Fma(n, -6.93147180369123816490e-1, t));
  // 2^1024 is no number: the last powers are doubled at the end.
  const bool last = n > 1023.0;
  const double power = PowerOfTwo(last ? sum - 1.0 : sum);
  const double y = Fma(power, Fma(ExpTail(r), r * r, r), power - 1.0);
  return x == 0.0 ? x : last ? y * 2.0 : y;
}
WENGERT_INLINE double Log1p(double x) { return x == 0.0 ? x : wide::Log1p(x); }
WENGERT_INLINE double Sinh(double x) {
  const double a = Abs(x), e = Expm1(a), root = Exp(0.5 * a);
  return CopySign(a > 700.0 ? 0.5 * root * root : 0.5 * (e + e / (e + 1.0)), x);
}
WENGERT_INLINE double Cosh(double x) {
  const double a = Abs(x), root = Exp(0.5 * (a > 700.0 ? a : 0.0)), e = Exp(a);
  return a > 700.0 ? 0.5 * root * root : 0.5 * (e + 1.0 / e);
}
WENGERT_INLINE double Asinh(double x) {
  const double a = Abs(x);
  const bool large = a > 1e8;
  const double t = large ? 1.0 : a;
  const double near = wide::Log1p(t + t * (t / (1.0 + wide::Root(Fma(t, t, 1.0)))));
  return CopySign(large ? Log(a) + 6.93147180559945309417e-1 : near, x);
}
WENGERT_INLINE double Acosh(double x) {
  const bool large = x > 1e8;
  const double t = (large ? 2.0 : x) - 1.0;
  const double near = wide::Log1p(t + wide::Root(t * (t + 2.0)));
  return x >= 1.0 ? (large ? Log(x) + 6.93147180559945309417e-1 : near) : wide::NotANumber();
}
WENGERT_INLINE double Atanh(double x) {
  const double a = Abs(x);
  return CopySign(0.5 * wide::Log1p(a < 0.5 ? 2.0 * a + 2.0 * a * a / (1.0 - a) : 2.0 * a / (1.0 - a)), x);
}
WENGERT_INLINE double Atan(double x) { return CopySign(wide::AtanFully(Abs(x)), x); }
WENGERT_INLINE double Asin(double x) {
  const double a = Abs(x);
  return CopySign(wide::AtanFully(a / wide::Root((1.0 - a) * (1.0 + a))), x);
}
WENGERT_INLINE double Acos(double x) { return 2.0 * wide::AtanFully(wide::Root((1.0 - x) / (1.0 + x))); }

// C's: the angle of (x, y), of any signs of zeros and infinities.
WENGERT_INLINE double Atan2(double y, double x) {
  const double a = Abs(y), b = Abs(x);
  // 0/0 is an angle of 0 and ∞/∞ one of π/4; NaN stays.
  const double r = wide::AtanFully(a == b ? (a == 0.0 ? 0.0 : 1.0) : a / b);
  const bool back = (Bits(x) >> 63) != 0;
  return CopySign(back ? 2.0 * wide::kHalfPi - (r - 1.2246467991473532e-16) : r, y);
}

// x + x S(x²) up to 1, S by interpolation; from there 1 − e^−p(|x| − 2), p by least squares weighted with how much of it the difference
// shows; from 6 on 1.
WENGERT_INLINE double Erf(double x) {
  const double a = Abs(x), z = a * a;
  const double s = Horner(z, 5.957176147748911e-11, -1.1372848856791674e-09, 1.4659775274047436e-08, -1.6350312701054695e-07,
      1.6461000484121368e-06, -1.4925595266831182e-05, 0.0001205533111164271, -0.000854832698083379, 0.0052239776248180145,
      -0.026866170645076792, 0.11283791670954879, -0.3761263890318375, 0.1283791670955126);
  const double t = (a > 6.0 ? 6.0 : a) - 2.0;
  const double p = Horner(t, 3.3533813663009996e-11, 7.098972687382234e-11, -2.3629370716254096e-09, 1.4444668792545711e-08,
      -5.818277539049047e-08, 1.7250332449742513e-07, -2.0332614331542696e-07, -1.951626130203046e-06, 2.0706359776986897e-05,
      -0.000135309563731799, 0.0007323993662682356, -0.00357075630906689, 0.01646511814385553, 0.9237508418222304, 4.4181608059940976,
      5.364941264616641);
  return CopySign(a < 1.0 ? Fma(s, a, a) : 1.0 - Exp(-p), x);
}

// C's: e^(y · ln|x|), the logarithm and its product to 64 bits, with the sign of x where y is odd; 1 where x is 1 or y is 0, NaN there too.
WENGERT_INLINE double Pow(double x, double y) {
  const double a = Abs(x), b = Abs(y);
  const wide::Two ln = wide::LogFully(a);
  // Beyond this the power is 0 or infinite, whatever is rounded.
  const double rough = y * ln.high;
  const bool within = (Abs(rough) < 1000.0) & (b < 1e290);
  const wide::Two p = wide::TwoProduct(within ? y : 1.0, within ? ln.high : 1.0);
  const double power = wide::ExpOf(rough, within ? p.low + y * ln.low : 0.0);
  // From 2^53 on every number is an even integer.
  const double half = 0.5 * b;
  const bool close = b < 9007199254740992.0;
  const bool whole = b >= 4503599627370496.0 || wide::Trunc(b) == b;
  const bool odd = close && whole && wide::Trunc(half) != half;
  const double sign = odd && (Bits(x) >> 63) != 0 ? -power : power;
  const double real = x < 0.0 && !whole && a <= 1.7976931348623157e308 ? wide::NotANumber() : sign;
  // An infinite power of −1 is 1; NaN in y stays.
  const bool one = x == 1.0 || y == 0.0 || (a == 1.0 && y - y != 0.0 && y == y);
  return one ? 1.0 : real;
}

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
