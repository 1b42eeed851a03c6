// The functions that elementwise_ops.h is written with; for *_isa.cc only.
#pragma once

#include "math_double.h"

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {

// The scalar functions of libm in both types, without the inline overloads of <cmath>.
#define WENGERT_LIBM1(Name, name)                                       \
  WENGERT_INLINE float Name(float x) { return __builtin_##name##f(x); } \
  WENGERT_INLINE double Name(double x) { return __builtin_##name(x); }
#define WENGERT_LIBM2(Name, name)                                                   \
  WENGERT_INLINE float Name(float x, float y) { return __builtin_##name##f(x, y); } \
  WENGERT_INLINE double Name(double x, double y) { return __builtin_##name(x, y); }
WENGERT_LIBM1(Floor, floor)
WENGERT_LIBM1(Ceil, ceil)
WENGERT_LIBM1(Round, rint)
WENGERT_LIBM1(Sqrt, sqrt)
WENGERT_LIBM2(Fmod, fmod)
// Far numbers are rare, and libm's: the loops of elementwise_isa.cc look for them first.
WENGERT_INLINE float Sin(float x) { return wide::Far(x) ? __builtin_sinf(x) : wide::SinNear(x); }
WENGERT_INLINE float Cos(float x) { return wide::Far(x) ? __builtin_cosf(x) : wide::CosNear(x); }
WENGERT_INLINE float Tan(float x) { return wide::Far(x) ? __builtin_tanf(x) : wide::TanNear(x); }
WENGERT_INLINE double Sin(double x) { return wide::Far(x) ? __builtin_sin(x) : wide::SinNear(x); }
WENGERT_INLINE double Cos(double x) { return wide::Far(x) ? __builtin_cos(x) : wide::CosNear(x); }
WENGERT_INLINE double Tan(double x) { return wide::Far(x) ? __builtin_tan(x) : wide::TanNear(x); }

// The remainder with the sign of b.
template <class F>
WENGERT_INLINE F Mod(F a, F b) {
  if (wide::Divides(a, b)) return wide::ModNear(a, b);
  const F rest = Fmod(a, b);
  return rest != F(0) && (rest < F(0)) != (b < F(0)) ? rest + b : rest;
}

template <class F>
WENGERT_INLINE bool IsFinite(F x) {
  return Abs(x) <= (sizeof(F) == 4 ? F(3.40282347e38f) : F(1.7976931348623157e308));
}

// NaN is taken from either side: a comparison with it fails, and x != x finds it.
template <class F>
WENGERT_INLINE F Maximum(F x, F y) {
  return x > y || x != x ? x : y;
}
template <class F>
WENGERT_INLINE F Minimum(F x, F y) {
  return x < y || x != x ? x : y;
}

// Truncated, saturating, NaN to 0. 2^31 - 1 is no float: the comparison is with 2^31.
template <class F>
WENGERT_INLINE std::int32_t ToInt32(F x) {
  const bool inside = x > F(-2147483648.0) && x < F(2147483648.0);
  const std::int32_t limit = x >= F(2147483648.0) ? INT32_MAX : x <= F(-2147483648.0) ? INT32_MIN : 0;
  return inside ? static_cast<std::int32_t>(x) : limit;
}

// The same as a number of F. Compilers may make one truncation of the two conversions, which would give -0 where an integer
// has no sign.
template <class F>
WENGERT_INLINE F Truncated(F x) {
  const F whole = static_cast<F>(ToInt32(x));
  return x > F(-1) && x < F(1) ? F(0) : whole;
}

// Modulo 2^32: exact where x and its sum with 2^31 are integers that F holds.
template <class F>
WENGERT_INLINE F WrapInt32(F x) {
  const F turns = Floor((x + F(2147483648.0)) * F(1.0 / 4294967296.0));
  return Truncated(x - turns * F(4294967296.0));
}

template <class F>
WENGERT_INLINE F MulInt32(F x, F y) {
  const std::uint32_t product = static_cast<std::uint32_t>(ToInt32(x)) * static_cast<std::uint32_t>(ToInt32(y));
  return static_cast<F>(static_cast<std::int32_t>(product));
}

template <class F>
WENGERT_INLINE F PowInt32(F x, F y) {
  std::int32_t exponent = ToInt32(y);
  if (exponent < 0) return Truncated(Pow(x, y));
  std::uint32_t base = static_cast<std::uint32_t>(ToInt32(x)), power = 1;
  for (; exponent > 0; exponent >>= 1, base *= base) {
    if ((exponent & 1) != 0) power *= base;
  }
  return static_cast<F>(static_cast<std::int32_t>(power));
}

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
