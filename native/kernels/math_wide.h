// Functions of float that are computed in double, by the vectors that the compiler makes of them; for *_isa.cc only. In double no
// digits that a float could show are lost to cancellation, so each is one formula, and within one unit in the last place of the float;
// erf alone is computed in float.
// Functions of double: math_double.h.
//
// Odd functions are made of |x| and take x's sign back, so that −0 stays −0. NaN fails every comparison and goes through.
#pragma once

#include "math.h"

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {
namespace wide {

constexpr double kHalfPi = 1.57079632679489661923;

WENGERT_INLINE double Root(double x) { return __builtin_sqrt(x); }
WENGERT_INLINE double Infinity() { return __builtin_inf(); }
WENGERT_INLINE double NotANumber() { return __builtin_nan(""); }

// e^x − 1 = 2^n · (e^r − 1) + (2^n − 1); n is 0 where x is small. Above 200 a float is infinite.
WENGERT_INLINE double Expm1(double x) {
  x = x < -105.0 ? -105.0 : x;
  x = x > 200.0 ? 200.0 : x;
  const double sum = Fma(x, 1.4426950408889634074, kRound64);
  const double n = sum - kRound64;
  const double r = Fma(n, -1.90821492927058770002e-10, Fma(n, -6.93147180369123816490e-1, x));
  const double power = PowerOfTwo(sum);
  return Fma(power, Fma(ExpTail(r), r * r, r), power - 1.0);
}

// ln(1 + u) of u > −1: the logarithm of the rounded sum, corrected by what the rounding lost.
WENGERT_INLINE double Log1p(double u) {
  const double w = 1.0 + u;
  const double y = Log(w) - ((w - 1.0) - u) / w;
  return w > 0.0 && w <= 1.7976931348623157e308 ? y : Log(w);
}

// atan of a >= 0, by a turn of π/4 or π/2 where a is large.
WENGERT_INLINE double Atan(double a) {
  const bool quarter = a > 0.41421356237309504880, half = a > 2.41421356237309504880;
  const double over = half ? -1.0 : quarter ? a - 1.0 : a;
  const double under = half ? a : quarter ? a + 1.0 : 1.0;
  const double t = over / under;
  const double z = t * t;
  const double p = Horner(z, -0.0404130207371592481, 0.0713441351132538155, -0.090288225746611843, 0.111074821497785117,
      -0.142856120420498956, 0.199999989111342175, -0.333333333314273528);
  return (half ? kHalfPi : quarter ? 0.5 * kHalfPi : 0.0) + Fma(p * z, t, t);
}

// x = n · π/2 + r with |r| <= π/4, π/2 being of three parts whose products with n are exact up to kFarthest.
constexpr float kFarthest = 1e6f;
struct Turned {
  double r;
  std::uint64_t n;  // its low bits
};
WENGERT_INLINE Turned Turn(double x) {
  const double sum = x * 0.636619772367581343076 + kRound64;
  const double n = sum - kRound64;
  const double r = ((x - n * 1.57079632673412561417e+00) - n * 6.07710050630396597660e-11) - n * 2.02226624879595063154e-21;
  return {r, Bits(sum)};
}
WENGERT_INLINE double SinTurned(double r) {
  const double z = r * r;
  const double p = Horner(z, -2.50521083854417187751e-8, 2.75573192239858906526e-6, -1.98412698412698412698e-4, 8.33333333333333333333e-3,
      -1.66666666666666666667e-1);
  return Fma(p * z, r, r);
}
WENGERT_INLINE double CosTurned(double r) {
  const double z = r * r;
  const double p = Horner(z, 2.08767569878680989792e-9, -2.75573192239858906526e-7, 2.48015873015873015873e-5, -1.38888888888888888889e-3,
      4.16666666666666666667e-2, -0.5);
  return Fma(p, z, 1.0);
}

// Of |x| <= kFarthest, infinities and NaN.
WENGERT_INLINE float SinNear(float x) {
  const Turned t = Turn(x);
  const double y = (t.n & 1) != 0 ? CosTurned(t.r) : SinTurned(t.r);
  return x == 0.0f ? x : static_cast<float>((t.n & 2) != 0 ? -y : y);
}
WENGERT_INLINE float CosNear(float x) {
  const Turned t = Turn(x);
  const double y = (t.n & 1) != 0 ? SinTurned(t.r) : CosTurned(t.r);
  return static_cast<float>(((t.n + 1) & 2) != 0 ? -y : y);
}
WENGERT_INLINE float TanNear(float x) {
  const Turned t = Turn(x);
  const double sine = SinTurned(t.r), cosine = CosTurned(t.r);
  const bool odd = (t.n & 1) != 0;
  return x == 0.0f ? x : static_cast<float>((odd ? -cosine : sine) / (odd ? sine : cosine));
}
// Whether a number is farther than those reach.
WENGERT_INLINE bool Far(float x) { return Abs(x) > kFarthest && Abs(x) <= 3.40282347e38f; }

}  // namespace wide

WENGERT_INLINE float Expm1(float x) { return x == 0.0f ? x : static_cast<float>(wide::Expm1(x)); }
WENGERT_INLINE float Log1p(float x) { return x == 0.0f ? x : static_cast<float>(wide::Log1p(x)); }
WENGERT_INLINE float Sinh(float x) {
  const double e = wide::Expm1(Abs(x));
  return CopySign(static_cast<float>(0.5 * (e + e / (e + 1.0))), x);
}
WENGERT_INLINE float Cosh(float x) {
  const double e = Exp(static_cast<double>(Abs(x)));
  return static_cast<float>(0.5 * (e + 1.0 / e));
}
WENGERT_INLINE float Asinh(float x) {
  const double a = Abs(x);
  return CopySign(static_cast<float>(a > 3.5e38 ? a : wide::Log1p(a + a * (a / (1.0 + wide::Root(Fma(a, a, 1.0)))))), x);
}
WENGERT_INLINE float Acosh(float x) {
  const double t = static_cast<double>(x) - 1.0;
  return static_cast<float>(x >= 1.0f ? wide::Log1p(t + wide::Root(t * (t + 2.0))) : wide::NotANumber());
}
WENGERT_INLINE float Atanh(float x) {
  const double a = Abs(x);
  return CopySign(static_cast<float>(0.5 * wide::Log1p(2.0 * a / (1.0 - a))), x);
}
WENGERT_INLINE float Asin(float x) {
  const double a = Abs(x);
  return CopySign(static_cast<float>(wide::Atan(a / wide::Root((1.0 - a) * (1.0 + a)))), x);
}
WENGERT_INLINE float Acos(float x) {
  const double a = x;
  return static_cast<float>(2.0 * wide::Atan(wide::Root((1.0 - a) / (1.0 + a))));
}
WENGERT_INLINE float Atan(float x) { return CopySign(static_cast<float>(wide::Atan(Abs(x))), x); }

// In float itself, within two units in the last place: a series of |x|, or 1 − 2^−p(|x|), up to 4, from where a float is 1. The power
// is of 0 to −24, so that a series of its fraction and one factor make it.
WENGERT_INLINE float Erf(float x) {
  const float a = Abs(x), z = a * a;
  const float s = Horner(z, -5.88677358e-4f, 4.97311680e-3f, -2.67533343e-2f, 1.12814665e-1f, -3.76124620e-1f, 1.28379151e-1f);
  const float t = a > 4.0f ? 4.0f : a;
  const float p = Horner(t, 1.552824687678367e-5f, -4.588657175190747e-4f, 5.22677693516016e-3f, -3.422101214528084e-2f,
      1.5319636464118958e-1f, 9.163731932640076e-1f, 1.6282848119735718f);
  const float v = -p * t;
  const float sum = v + kRound32;
  const float f = v - (sum - kRound32);
  const float e = Horner(f, 1.3218672247603536e-3f, 9.671698324382305e-3f, 5.550893023610115e-2f, 2.4022237956523895e-1f,
      6.931468844413757e-1f, 1.0f);
  return CopySign(a < 0.95f ? Fma(s, a, a) : 1.0f - e * PowerOfTwo(sum), x);
}

// C's: the angle of (x, y), of any signs of zeros and infinities.
WENGERT_INLINE float Atan2(float y, float x) {
  const double a = Abs(y), b = Abs(x);
  const double q = a / b;
  // 0/0 is an angle of 0 and ∞/∞ one of π/4; NaN stays.
  const double r = wide::Atan(a == b ? (a == 0.0 ? 0.0 : 1.0) : q);
  const bool back = (Bits(x) >> 31) != 0;
  return CopySign(static_cast<float>(back ? 2.0 * wide::kHalfPi - r : r), y);
}

// C's: e^(y · ln|x|) with the sign of x where y is odd; 1 where x is 1 or y is 0, NaN there too.
WENGERT_INLINE float Pow(float x, float y) {
  const double a = Abs(x), b = y;
  const double power = Exp(b * Log(a));
  // From 2^24 on every float is an even integer.
  const bool close = Abs(b) < 16777216.0;
  const double half = 0.5 * b;
  const bool whole = !close || (b + kRound64) - kRound64 == b, odd = close && whole && (half + kRound64) - kRound64 != half;
  const double sign = odd && (Bits(x) >> 31) != 0 ? -power : power;
  const double real = x < 0.0f && !whole && a <= 3.5e38 ? wide::NotANumber() : sign;
  // An infinite power of −1 is 1; NaN in y stays.
  const bool one = x == 1.0f || b == 0.0 || (a == 1.0 && b - b != 0.0 && b == b);
  return one ? 1.0f : static_cast<float>(real);
}

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
