// Branch-free scalar functions that the compiler vectorises, for the *_isa.cc files only: everything here lives in the
// namespace of the instruction set being compiled. Each is a few units in the last place off at most, over all of its
// range, and right at zeros, infinities and NaN (measured: see the sweep in the tests).
//
// Where a comparison keeps NaN it is written so that NaN fails it and the other operand, NaN itself, is taken.
#pragma once

#include "isa.h"

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {

#if defined(__FMA__) || defined(__aarch64__)
WENGERT_INLINE float Fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
WENGERT_INLINE double Fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
WENGERT_INLINE float Fma(float a, float b, float c) { return a * b + c; }
WENGERT_INLINE double Fma(double a, double b, double c) { return a * b + c; }
#endif

// A polynomial of x, by its coefficients from the highest power down.
template <class F, class... Fs>
WENGERT_INLINE F Horner(F x, F highest, Fs... others) {
  ((highest = Fma(highest, x, others)), ...);
  return highest;
}

WENGERT_INLINE float Abs(float x) { return __builtin_fabsf(x); }
WENGERT_INLINE double Abs(double x) { return __builtin_fabs(x); }
WENGERT_INLINE float CopySign(float x, float y) { return __builtin_copysignf(x, y); }
WENGERT_INLINE double CopySign(double x, double y) { return __builtin_copysign(x, y); }

WENGERT_INLINE std::uint32_t Bits(float x) { return __builtin_bit_cast(std::uint32_t, x); }
WENGERT_INLINE std::uint64_t Bits(double x) { return __builtin_bit_cast(std::uint64_t, x); }
WENGERT_INLINE float FromBits(std::uint32_t x) { return __builtin_bit_cast(float, x); }
WENGERT_INLINE double FromBits(std::uint64_t x) { return __builtin_bit_cast(double, x); }

// Adding this and taking it away rounds to an integer, which also stands in the low bits of the sum.
constexpr float kRound32 = 12582912.0f;
constexpr double kRound64 = 6755399441055744.0;

// 2^n for the integer n in the low bits of `sum` (n + kRound); -126 <= n <= 127 (float), -1022 <= n <= 1023 (double).
WENGERT_INLINE float PowerOfTwo(float sum) { return FromBits((Bits(sum) + 127u) << 23); }
WENGERT_INLINE double PowerOfTwo(double sum) { return FromBits((Bits(sum) + 1023u) << 52); }

// (e^r - 1 - r) / r² for |r| <= ln(2)/2, by Chebyshev interpolation; in pairs, which a single number does not wait for
// as long as for Horner's chain.
WENGERT_INLINE float ExpTail(float r) {
  const float z = r * r;
  const float high = Fma(1.98909827108e-4f, r, 1.39336426898e-3f);
  const float middle = Fma(8.33331093279e-3f, r, 4.16664649911e-2f);
  const float low = Fma(1.66666666816e-1f, r, 5.00000001346e-1f);
  return Fma(Fma(high, z, middle), z, low);
}

WENGERT_INLINE double ExpTail(double r) {
  const double z = r * r;
  const double a = Fma(2.510520833998769681e-8, r, 2.755727365797595133e-7);
  const double b = Fma(2.755725542102350449e-6, r, 2.480158732553602231e-5);
  const double c = Fma(1.984126987480421478e-4, r, 1.388888888888375166e-3);
  const double d = Fma(8.333333333326139819e-3, r, 4.166666666666666975e-2);
  const double e = Fma(1.666666666666667099e-1, r, 0.5);
  const double high = Fma(Fma(2.091468078054026528e-9, z, a), z, b);
  const double low = Fma(d, z, e);
  return Fma(Fma(high, z, c), z * z, low);
}

// e^x = 2^n · e^r. The power is applied in two factors, so that neither leaves the range where the result is subnormal
// or just below infinity.
WENGERT_INLINE float Exp(float x) {
  x = x < -105.0f ? -105.0f : x;
  x = x > 90.0f ? 90.0f : x;
  const float n = Fma(x, 1.44269504f, kRound32) - kRound32;
  const float r = Fma(n, 2.12194440e-4f, Fma(n, -0.693359375f, x));
  const float y = Fma(ExpTail(r), r * r, r) + 1.0f;
  const float half = Fma(n, 0.5f, kRound32);
  return y * PowerOfTwo(half) * PowerOfTwo((n - (half - kRound32)) + kRound32);
}

WENGERT_INLINE double Exp(double x) {
  x = x < -746.0 ? -746.0 : x;
  x = x > 711.0 ? 711.0 : x;
  const double n = Fma(x, 1.4426950408889634074, kRound64) - kRound64;
  const double r = Fma(n, -1.90821492927058770002e-10, Fma(n, -6.93147180369123816490e-1, x));
  const double y = Fma(ExpTail(r), r * r, r) + 1.0;
  const double half = Fma(n, 0.5, kRound64);
  return y * PowerOfTwo(half) * PowerOfTwo((n - (half - kRound64)) + kRound64);
}

// Below 0.625 a series of x itself: 1 - 2/(e^2x + 1) would lose the digits of small results.
WENGERT_INLINE float Tanh(float x) {
  const float z = x * x;
  const float p = Horner(z, -5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f, -3.33332819422e-1f);
  const float small = Fma(p * z, x, x);
  float a = Abs(x);
  a = a > 10.0f ? 10.0f : a;
  const float large = 1.0f - 2.0f / (Exp(2.0f * a) + 1.0f);
  // The sign of −0 too, which a sum has lost.
  return CopySign(a < 0.625f ? small : large, x);
}

WENGERT_INLINE double Tanh(double x) {
  double a = Abs(x);
  a = a > 20.0 ? 20.0 : a;
  const double z = a * a;
  const double p = Horner(z, -9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3);
  const double q = Horner(z, z + 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3);
  const double small = Fma(x * z, p / q, x);
  const double large = 1.0 - 2.0 / (Exp(2.0 * a) + 1.0);
  return CopySign(a < 0.625 ? small : large, x);
}

// e^-|x| never overflows; for negative x it is the numerator, so that small results keep their digits.
template <class F>
WENGERT_INLINE F Sigmoid(F x) {
  const F e = Exp(-Abs(x));
  return (x < F(0) ? e : F(1)) / (F(1) + e);
}

// The bits of sqrt(1/2).
constexpr std::uint32_t kRootHalf32 = 0x3f3504f3u;
constexpr std::uint64_t kRootHalf64 = 0x3fe6a09e667f3bcd;

// x = 2^n · m with sqrt(1/2) <= m < sqrt(2); ln x from f = m - 1. Subnormals are scaled up first.
WENGERT_INLINE float Log(float x) {
  const bool tiny = x < 1.17549435e-38f;
  const float scaled = tiny ? x * 8388608.0f : x;
  const std::uint32_t shifted = Bits(scaled) - kRootHalf32;
  const float n = static_cast<float>(static_cast<std::int32_t>(shifted) >> 23) - (tiny ? 23.0f : 0.0f);
  const float f = FromBits((shifted & 0x007fffffu) + kRootHalf32) - 1.0f;
  const float z = f * f;
  const float p = Horner(f, 7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f, -1.6668057665e-1f,
      2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f);
  float y = Fma(n, -2.12194440e-4f, p * f * z);
  y = Fma(z, -0.5f, y);
  y = Fma(n, 0.693359375f, f + y);
  y = x > 3.40282347e38f ? x : y;
  y = x == 0.0f ? -__builtin_inff() : y;
  return x >= 0.0f ? y : __builtin_nanf("");
}

WENGERT_INLINE double Log(double x) {
  const bool tiny = x < 2.2250738585072014e-308;
  const double scaled = tiny ? x * 4503599627370496.0 : x;
  const std::uint64_t shifted = Bits(scaled) - kRootHalf64;
  // The exponent, biased to be positive, becomes a double through the bits of 2^52: not every instruction set converts
  // 64-bit integers.
  const std::uint64_t exponent = (shifted + (std::uint64_t{2048} << 52)) >> 52;
  const double n =
      FromBits(exponent | std::uint64_t{0x4330000000000000}) - (tiny ? 4503599627372596.0 : 4503599627372544.0);
  const double f = FromBits((shifted & std::uint64_t{0x000fffffffffffff}) + kRootHalf64) - 1.0;
  const double z = f * f;
  const double p = Horner(f, 1.01875663804580931796e-4, 4.97494994976747001425e-1, 4.70579119878881725854e0, 1.44989225341610930846e1,
      1.79368678507819816313e1, 7.70838733755885391666e0);
  const double q = Horner(f, f + 1.12873587189167450590e1, 4.52279145837532221105e1, 8.29875266912776603211e1, 7.11544750618563894466e1,
      2.31251620126765340583e1);
  double y = f * (z * (p / q));
  y = Fma(n, -2.121944400546905827679e-4, y);
  y = Fma(z, -0.5, y);
  y = Fma(n, 0.693359375, f + y);
  y = x > 1.7976931348623157e308 ? x : y;
  y = x == 0.0 ? -__builtin_inf() : y;
  return x >= 0.0 ? y : __builtin_nan("");
}

// ln(1 + u) for u in 0 … 1: the logarithm of the rounded sum, corrected by what the rounding lost.
template <class F>
WENGERT_INLINE F Log1pUnit(F u) {
  const F w = F(1) + u;
  return Log(w) - ((w - F(1)) - u) / w;
}

// ln(1 + e^x) without overflow. An infinite x leaves e^-|x| = 0 and is passed through by the maximum; so is NaN.
template <class F>
WENGERT_INLINE F Softplus(F x) {
  return (x < F(0) ? F(0) : x) + Log1pUnit(Exp(-Abs(x)));
}

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
