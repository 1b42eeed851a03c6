// The micro-operations of the elementwise kernel, each a loop over n contiguous elements; for elementwise_isa.cc only.
// A line here, one in `elementwiseOps` (lib/backend/program.ts, whose order is that of the codes), one in
// micro_program.h.
//
// WENGERT_ELEMENTWISE(X): X(name, value), value being an expression in x, y, z (the operands) of type F.
#pragma once

#include "math.h"

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
WENGERT_LIBM1(Expm1, expm1)
WENGERT_LIBM1(Log1p, log1p)
WENGERT_LIBM1(Sin, sin)
WENGERT_LIBM1(Cos, cos)
WENGERT_LIBM1(Tan, tan)
WENGERT_LIBM1(Asin, asin)
WENGERT_LIBM1(Acos, acos)
WENGERT_LIBM1(Atan, atan)
WENGERT_LIBM1(Sinh, sinh)
WENGERT_LIBM1(Cosh, cosh)
WENGERT_LIBM1(Asinh, asinh)
WENGERT_LIBM1(Acosh, acosh)
WENGERT_LIBM1(Atanh, atanh)
WENGERT_LIBM1(Erf, erf)
WENGERT_LIBM2(Pow, pow)
WENGERT_LIBM2(Atan2, atan2)
WENGERT_LIBM2(Fmod, fmod)

// The remainder with the sign of b.
template <class F>
WENGERT_INLINE F Mod(F a, F b) {
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

// Modulo 2^32: exact where x and its sum with 2^31 are integers that F holds.
template <class F>
WENGERT_INLINE F WrapInt32(F x) {
  const F turns = Floor((x + F(2147483648.0)) * F(1.0 / 4294967296.0));
  return static_cast<F>(ToInt32(x - turns * F(4294967296.0)));
}

template <class F>
WENGERT_INLINE F MulInt32(F x, F y) {
  const std::uint32_t product = static_cast<std::uint32_t>(ToInt32(x)) * static_cast<std::uint32_t>(ToInt32(y));
  return static_cast<F>(static_cast<std::int32_t>(product));
}

template <class F>
WENGERT_INLINE F PowInt32(F x, F y) {
  std::int32_t exponent = ToInt32(y);
  if (exponent < 0) return static_cast<F>(ToInt32(Pow(x, y)));
  std::uint32_t base = static_cast<std::uint32_t>(ToInt32(x)), power = 1;
  for (; exponent > 0; exponent >>= 1, base *= base) {
    if ((exponent & 1) != 0) power *= base;
  }
  return static_cast<F>(static_cast<std::int32_t>(power));
}

// clang-format off
#define WENGERT_ELEMENTWISE(X) \
  X(copy, x) X(neg, -x) X(abs, Abs(x)) X(sign, x > F(0) ? F(1) : x < F(0) ? F(-1) : x) \
  X(floor, Floor(x)) X(ceil, Ceil(x)) X(round, Round(x)) X(square, x * x) \
  X(sqrt, Sqrt(x)) X(rsqrt, F(1) / Sqrt(x)) X(reciprocal, F(1) / x) \
  X(exp, Exp(x)) X(expm1, Expm1(x)) X(log, Log(x)) X(log1p, Log1p(x)) \
  X(sin, Sin(x)) X(cos, Cos(x)) X(tan, Tan(x)) X(asin, Asin(x)) X(acos, Acos(x)) X(atan, Atan(x)) \
  X(sinh, Sinh(x)) X(cosh, Cosh(x)) X(tanh, Tanh(x)) X(asinh, Asinh(x)) X(acosh, Acosh(x)) X(atanh, Atanh(x)) \
  X(erf, Erf(x)) X(sigmoid, Sigmoid(x)) X(logSigmoid, -Softplus(-x)) X(softplus, Softplus(x)) \
  X(relu, x <= F(0) ? F(0) : x) X(logicalNot, x == F(0) ? F(1) : F(0)) X(isFinite, IsFinite(x) ? F(1) : F(0)) \
  X(toBool, x != F(0) ? F(1) : F(0)) X(toInt32, static_cast<F>(ToInt32(x))) X(wrapInt32, WrapInt32(x)) \
  X(add, x + y) X(sub, x - y) X(mul, x * y) X(div, x / y) X(pow, Pow(x, y)) X(atan2, Atan2(x, y)) X(mod, Mod(x, y)) \
  X(maximum, Maximum(x, y)) X(minimum, Minimum(x, y)) \
  X(equal, x == y ? F(1) : F(0)) X(notEqual, x != y ? F(1) : F(0)) \
  X(less, x < y ? F(1) : F(0)) X(lessEqual, x <= y ? F(1) : F(0)) \
  X(greater, x > y ? F(1) : F(0)) X(greaterEqual, x >= y ? F(1) : F(0)) \
  X(logicalAnd, (x != F(0)) & (y != F(0)) ? F(1) : F(0)) X(logicalOr, (x != F(0)) | (y != F(0)) ? F(1) : F(0)) \
  X(mulInt32, MulInt32(x, y)) X(powInt32, PowInt32(x, y)) \
  X(where, x != F(0) ? y : z)
// clang-format on

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
