// The micro-operations of the elementwise kernel, in the order of `elementwiseOps` (lib/backend/program.ts), which numbers them.
// WENGERT_ELEMENTWISE(X): X(name, arity, cost, value), value being an expression in x, y, z (the operands) of type F, with the
// functions of elementwise_functions.h. cost: roughly nanoseconds for sixteen floats, for deciding when a run is worth
// splitting. Loops, lines, names and checks are made from this table.
#pragma once

#include <cstddef>

// clang-format off
#define WENGERT_ELEMENTWISE(X) \
  X(copy, 1, 1, x) \
  X(neg, 1, 1, -x) \
  X(abs, 1, 1, Abs(x)) \
  X(sign, 1, 1, x > F(0) ? F(1) : x < F(0) ? F(-1) : x) \
  X(floor, 1, 1, Floor(x)) \
  X(ceil, 1, 1, Ceil(x)) \
  X(round, 1, 1, Round(x)) \
  X(square, 1, 1, x * x) \
  X(sqrt, 1, 4, Sqrt(x)) \
  X(rsqrt, 1, 6, F(1) / Sqrt(x)) \
  X(reciprocal, 1, 4, F(1) / x) \
  X(exp, 1, 8, Exp(x)) \
  X(expm1, 1, 20, Expm1(x)) \
  X(log, 1, 10, Log(x)) \
  X(log1p, 1, 40, Log1p(x)) \
  X(sin, 1, 35, Sin(x)) \
  X(cos, 1, 35, Cos(x)) \
  X(tan, 1, 35, Tan(x)) \
  X(asin, 1, 36, Asin(x)) \
  X(acos, 1, 34, Acos(x)) \
  X(atan, 1, 25, Atan(x)) \
  X(sinh, 1, 20, Sinh(x)) \
  X(cosh, 1, 22, Cosh(x)) \
  X(tanh, 1, 12, Tanh(x)) \
  X(asinh, 1, 44, Asinh(x)) \
  X(acosh, 1, 54, Acosh(x)) \
  X(atanh, 1, 35, Atanh(x)) \
  X(erf, 1, 16, Erf(x)) \
  X(sigmoid, 1, 12, Sigmoid(x)) \
  X(logSigmoid, 1, 20, -Softplus(-x)) \
  X(softplus, 1, 20, Softplus(x)) \
  X(relu, 1, 1, x <= F(0) ? F(0) : x) \
  X(logicalNot, 1, 1, x == F(0) ? F(1) : F(0)) \
  X(isFinite, 1, 1, IsFinite(x) ? F(1) : F(0)) \
  X(toBool, 1, 1, x != F(0) ? F(1) : F(0)) \
  X(toInt32, 1, 2, Truncated(x)) \
  X(wrapInt32, 1, 4, WrapInt32(x)) \
  X(add, 2, 1, x + y) \
  X(sub, 2, 1, x - y) \
  X(mul, 2, 1, x * y) \
  X(div, 2, 4, x / y) \
  X(pow, 2, 58, Pow(x, y)) \
  X(atan2, 2, 36, Atan2(x, y)) \
  X(mod, 2, 150, Mod(x, y)) \
  X(maximum, 2, 1, Maximum(x, y)) \
  X(minimum, 2, 1, Minimum(x, y)) \
  X(equal, 2, 1, x == y ? F(1) : F(0)) \
  X(notEqual, 2, 1, x != y ? F(1) : F(0)) \
  X(less, 2, 1, x < y ? F(1) : F(0)) \
  X(lessEqual, 2, 1, x <= y ? F(1) : F(0)) \
  X(greater, 2, 1, x > y ? F(1) : F(0)) \
  X(greaterEqual, 2, 1, x >= y ? F(1) : F(0)) \
  X(logicalAnd, 2, 1, (x != F(0)) & (y != F(0)) ? F(1) : F(0)) \
  X(logicalOr, 2, 1, (x != F(0)) | (y != F(0)) ? F(1) : F(0)) \
  X(mulInt32, 2, 4, MulInt32(x, y)) \
  X(powInt32, 2, 200, PowInt32(x, y)) \
  X(where, 3, 1, x != F(0) ? y : z)
// clang-format on

namespace wengert {

#define WENGERT_ONE(name, arity, cost, value) +1
constexpr std::size_t kElementwiseOps = 0 WENGERT_ELEMENTWISE(WENGERT_ONE);

}  // namespace wengert
