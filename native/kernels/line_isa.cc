// The operations of lines, compiled once for each instruction set: see isa.h. Each ends by calling the next, which the
// compiler makes a jump.
#include "line.h"

#include "elementwise_functions.h"
#include "elementwise_ops.h"
#include "rows.h"

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {

namespace {

#define WENGERT_NEXT(F, value) return RecastRun<TypedRun<F>>(op[1].run)(op + 1, value)

template <class F>
WENGERT_INLINE F At(const void* cell) {
  return *static_cast<const F*>(cell);
}

// The operands a and b: one of them may have been passed.
template <class F, Passed P>
WENGERT_INLINE F A(const LineOp* op, F passed) {
  return P == Passed::kA ? passed : At<F>(op->a);
}
template <class F, Passed P>
WENGERT_INLINE F B(const LineOp* op, F passed) {
  return P == Passed::kB ? passed : At<F>(op->b);
}

#define WENGERT_DEFINE(name, arity, cost, value)                                  \
  template <class F, Passed P>                                                    \
  const LineOp* Line_##name(const LineOp* op, F passed) {                         \
    [[maybe_unused]] const F x = A<F, P>(op, passed);                             \
    [[maybe_unused]] const F y = B<F, P>(op, passed);                             \
    [[maybe_unused]] const F z = At<F>(op->c);                                    \
    const F result = value;                                                       \
    *static_cast<F*>(op->to) = result;                                            \
    WENGERT_NEXT(F, result);                                                      \
  }
WENGERT_ELEMENTWISE(WENGERT_DEFINE)

template <class F, Passed P>
const LineOp* MultiplyAdd(const LineOp* op, F passed) {
  const F result = Fma(A<F, P>(op, passed), B<F, P>(op, passed), At<F>(op->c));
  *static_cast<F*>(op->to) = result;
  WENGERT_NEXT(F, result);
}

template <class F>
const LineOp* Dot(const LineOp* op, F) {
  const F* a = static_cast<const F*>(op->a);
  const F* b = static_cast<const F*>(op->b);
  F s = *a * *b;
  for (std::int32_t p = 1; p < op->n; p++) {
    a += op->stride_a;
    b += op->stride_b;
    s += *a * *b;
  }
  *static_cast<F*>(op->to) = s;
  WENGERT_NEXT(F, s);
}

template <class F>
const LineOp* FusedDot(const LineOp* op, F) {
  const F* a = static_cast<const F*>(op->a);
  const F* b = static_cast<const F*>(op->b);
  F s = 0;
  for (std::int32_t p = 0; p < op->n; p++, a += op->stride_a, b += op->stride_b) s = Fma(*a, *b, s);
  *static_cast<F*>(op->to) = s;
  WENGERT_NEXT(F, s);
}

template <class F>
const LineOp* Sum(const LineOp* op, F) {
  const F sum = static_cast<F>(SumOfRow(static_cast<std::size_t>(op->n), static_cast<const F*>(op->a)));
  *static_cast<F*>(op->to) = sum;
  WENGERT_NEXT(F, sum);
}

// In the order of the additions of a column (reduce_isa.cc).
template <class F>
const LineOp* SumApart(const LineOp* op, F) {
  const F* x = static_cast<const F*>(op->a);
  const std::ptrdiff_t d = op->stride_a;
  double sum = 0;
  std::int32_t p = 0;
  for (; p + 4 <= op->n; p += 4, x += 4 * d) {
    sum += (static_cast<double>(x[0]) + static_cast<double>(x[d])) +
           (static_cast<double>(x[2 * d]) + static_cast<double>(x[3 * d]));
  }
  for (; p < op->n; p++, x += d) sum += static_cast<double>(*x);
  *static_cast<F*>(op->to) = static_cast<F>(sum);
  WENGERT_NEXT(F, static_cast<F>(sum));
}

template <class F>
const LineOp* Accumulate(const LineOp* op, F passed) {
  *static_cast<double*>(op->to) += SumOfRow(static_cast<std::size_t>(op->n), static_cast<const F*>(op->a));
  WENGERT_NEXT(F, passed);
}

template <class F>
const LineOp* Test(const LineOp* op, F passed) {
  const double value = At<double>(op->a);
  if (value - value != 0) return op;
  WENGERT_NEXT(F, passed);
}

template <class F>
const LineOp* Load(const LineOp* op, F) {
  const F value = static_cast<const F*>(*static_cast<void* const*>(op->a))[op->n];
  *static_cast<F*>(op->to) = value;
  WENGERT_NEXT(F, value);
}

template <class F, class T>
const LineOp* Gather(const LineOp* op, F passed) {
  const std::int32_t row = __atomic_load_n(*static_cast<const std::int32_t* const*>(op->b), __ATOMIC_RELAXED);
  if (row < 0 || row >= op->stride_a) return op;
  const T* from = *static_cast<const T* const*>(op->a) + static_cast<std::ptrdiff_t>(row) * op->n;
  T* to = static_cast<T*>(op->to);
  for (std::int32_t i = 0; i < op->n; i++) to[i] = from[i];
  WENGERT_NEXT(F, passed);
}

template <class F>
const LineOp* End(const LineOp*, F) {
  return nullptr;
}

// Those below read no single operand that could have been passed.
#define WENGERT_REST                                                                                             \
  Dot<F>, FusedDot<F>, Sum<F>, SumApart<F>, Accumulate<F>, Test<F>, Load<F>, Gather<F, std::uint32_t>,           \
      Gather<F, std::uint64_t>, End<F>
#define WENGERT_NONE(name, arity, cost, value) Line_##name<F, Passed::kNone>,
#define WENGERT_A(name, arity, cost, value) Line_##name<F, Passed::kA>,
#define WENGERT_B(name, arity, cost, value) Line_##name<F, Passed::kB>,
template <class F>
constexpr LineTable<F> kTable = {{
    {WENGERT_ELEMENTWISE(WENGERT_NONE) MultiplyAdd<F, Passed::kNone>, WENGERT_REST},
    {WENGERT_ELEMENTWISE(WENGERT_A) MultiplyAdd<F, Passed::kA>, WENGERT_REST},
    {WENGERT_ELEMENTWISE(WENGERT_B) MultiplyAdd<F, Passed::kB>, WENGERT_REST},
}};

}  // namespace

const LineTable<float> kLineF32 = kTable<float>;
const LineTable<double> kLineF64 = kTable<double>;

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
