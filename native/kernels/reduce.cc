// Reductions of the middle axis of x[outer, n, inner], the running sum along it, and the sum into a report.
#include <algorithm>
#include <type_traits>

#include "checks.h"
#include "isa.h"
#include "line.h"
#include "rooms.h"
#include "thresholds.h"

namespace wengert {

namespace {

struct Shape {
  std::size_t outer, n, inner;
};

enum class Empty { kAllowed, kRefused };

// Checks out[outer, inner] ← x[outer, n, inner]; `out` is of x's type unless given.
Shape CheckReduction(const char* op, const Call& call, Kind kind, Empty empty, const Kind* out_kind = nullptr) {
  const std::int64_t* dims = CheckDims(op, call, 3);
  CheckScalars(op, call, 0);
  CheckCounts(op, call, 1, 1);
  const Dtype dtype = CheckOperand(op, "x", call.inputs[0], kind, Volume(op, {dims[0], dims[1], dims[2]}));
  const std::int64_t out = Volume(op, {dims[0], dims[2]});
  CheckOperand(op, "out", call.outputs[0], out_kind ? *out_kind : Exactly(dtype), out);
  if (empty == Empty::kRefused && dims[1] == 0 && out > 0) Refuse(op, "an axis that is not empty", 0);
  return {static_cast<std::size_t>(dims[0]), static_cast<std::size_t>(dims[1]), static_cast<std::size_t>(dims[2])};
}

// Runs `rows(n, x)` for each outer where inner = 1, else `columns(n, inner, x, out)`.
template <class T>
class Reduction final : public Instruction {
 public:
  using Rows = T (*)(std::size_t n, const T* x);
  using Columns = void (*)(std::size_t n, std::size_t inner, const T* x, T* out);
  Reduction(const Shape& shape, Rows rows, Columns columns) : shape_(shape), rows_(rows), columns_(columns) {}

  bool Run(void* const* operands, Context&) const override {
    const auto [outer, n, inner] = shape_;
    T* out = static_cast<T*>(operands[0]);
    const T* x = static_cast<const T*>(operands[1]);
    if (inner == 1) {
      for (std::size_t o = 0; o < outer; o++) out[o] = rows_(n, x + o * n);
    } else if (inner > 0) {
      for (std::size_t o = 0; o < outer; o++) columns_(n, inner, x + o * n * inner, out + o * inner);
    }
    return true;
  }

 private:
  Shape shape_;
  Rows rows_;
  Columns columns_;
};

template <class F>
class Sum final : public Instruction {
 public:
  explicit Sum(const Shape& shape) : shape_(shape), table_(WENGERT_TABLE(Reduce, F)) {}

  bool Run(void* const* operands, Context&) const override {
    const auto [outer, n, inner] = shape_;
    F* out = static_cast<F*>(operands[0]);
    const F* x = static_cast<const F*>(operands[1]);
    if (inner == 1) {
      for (std::size_t o = 0; o < outer; o++) out[o] = static_cast<F>(table_.sum_row(n, x + o * n));
    } else if (inner > 0) {
      for (std::size_t o = 0; o < outer; o++) table_.sum_columns(n, inner, x + o * n * inner, out + o * inner);
    }
    return true;
  }

  bool Write(LineWriter& line) const override {
    const auto [outer, n, inner] = shape_;
    if (!line.Fixed(1) || n > thresholds::kMostSummedInLine || outer * inner > thresholds::kMostSummedInLine) return false;
    for (std::size_t o = 0; o < outer; o++) {
      for (std::size_t i = 0; i < inner; i++) {
        line.Emit(inner == 1 ? kLineSum : kLineSumApart, line.Write(0, static_cast<std::int64_t>(o * inner + i)),
                  line.Read(1, static_cast<std::int64_t>(o * n * inner + i)), {}, {}, static_cast<std::int64_t>(n),
                  static_cast<std::int64_t>(inner));
      }
    }
    return true;
  }

 private:
  Shape shape_;
  const ReduceTable<F>& table_;
};

// A fold written as a struct: T the elements' type, A the accumulator's, `start` and `Step`. Columns keep a row of
// accumulators on the stack, so that memory is read in order.
template <class Fold, class T>
T FoldRow(std::size_t n, const T* x) {
  typename Fold::Accumulator a = Fold::start;
  for (std::size_t i = 0; i < n; i++) a = Fold::Step(a, x[i]);
  return static_cast<T>(a);
}

template <class Fold, class T>
void FoldColumns(std::size_t n, std::size_t inner, const T* x, T* out) {
  constexpr std::size_t kWidth = 256;
  typename Fold::Accumulator a[kWidth];
  for (std::size_t from = 0; from < inner; from += kWidth) {
    const std::size_t count = std::min(kWidth, inner - from);
    for (std::size_t i = 0; i < count; i++) a[i] = Fold::start;
    for (std::size_t r = 0; r < n; r++) {
      const T* row = x + r * inner + from;
      for (std::size_t i = 0; i < count; i++) a[i] = Fold::Step(a[i], row[i]);
    }
    for (std::size_t i = 0; i < count; i++) out[from + i] = static_cast<T>(a[i]);
  }
}

// Unsigned arithmetic wraps modulo 2³².
struct SumInt {
  using Accumulator = std::uint32_t;
  static constexpr Accumulator start = 0;
  static Accumulator Step(Accumulator a, std::int32_t x) { return a + static_cast<std::uint32_t>(x); }
};
struct ProdInt {
  using Accumulator = std::uint32_t;
  static constexpr Accumulator start = 1;
  static Accumulator Step(Accumulator a, std::int32_t x) { return a * static_cast<std::uint32_t>(x); }
};
struct ProdFloat {
  using Accumulator = double;
  static constexpr Accumulator start = 1;
  static Accumulator Step(Accumulator a, double x) { return a * x; }
};
struct MaxInt {
  using Accumulator = std::int32_t;
  static constexpr Accumulator start = INT32_MIN;
  static Accumulator Step(Accumulator a, std::int32_t x) { return std::max(a, x); }
};
struct MinInt {
  using Accumulator = std::int32_t;
  static constexpr Accumulator start = INT32_MAX;
  static Accumulator Step(Accumulator a, std::int32_t x) { return std::min(a, x); }
};
struct Any {
  using Accumulator = std::uint8_t;
  static constexpr Accumulator start = 0;
  static Accumulator Step(Accumulator a, std::uint8_t x) { return a | (x != 0); }
};
struct All {
  using Accumulator = std::uint8_t;
  static constexpr Accumulator start = 1;
  static Accumulator Step(Accumulator a, std::uint8_t x) { return a & (x != 0); }
};

template <class Fold, class T>
std::unique_ptr<Instruction> Folding(const Shape& shape) {
  return std::make_unique<Reduction<T>>(shape, FoldRow<Fold, T>, FoldColumns<Fold, T>);
}

// The first place of the extreme; NaN counts as the extreme.
template <class T, int sign>
class Argument final : public Instruction {
 public:
  explicit Argument(const Shape& shape) : shape_(shape) {}

  bool Run(void* const* operands, Context&) const override {
    const auto [outer, n, inner] = shape_;
    std::int32_t* out = static_cast<std::int32_t*>(operands[0]);
    const T* x = static_cast<const T*>(operands[1]);
    for (std::size_t o = 0; o < outer && inner > 0; o++) {
      for (std::size_t i = 0; i < inner; i++) *out++ = Place(n, x + o * n * inner + i, inner);
    }
    return true;
  }

 private:
  static bool IsNan(T x) {
    if constexpr (std::is_floating_point_v<T>) {
      return x != x;
    } else {
      return static_cast<void>(x), false;
    }
  }

  static std::int32_t Place(std::size_t n, const T* x, std::size_t stride) {
    std::size_t place = 0;
    T best = x[0];
    for (std::size_t i = 1; i < n && !IsNan(best); i++) {
      const T value = x[i * stride];
      if ((sign > 0 ? value > best : value < best) || IsNan(value)) {
        best = value;
        place = i;
      }
    }
    return static_cast<std::int32_t>(place);
  }

  Shape shape_;
};

template <int sign>
std::unique_ptr<Instruction> PrepareArgument(const char* op, const Call& call) {
  const Kind out = Kind::kInt32;
  const Shape shape = CheckReduction(op, call, Kind::kNumber, Empty::kRefused, &out);
  if (call.ints[1] > INT32_MAX) Refuse(op, "an axis whose places int32 can hold", call.ints[1]);
  switch (call.inputs[0].dtype) {
    case Dtype::kFloat32: return std::make_unique<Argument<float, sign>>(shape);
    case Dtype::kFloat64: return std::make_unique<Argument<double, sign>>(shape);
    default: return std::make_unique<Argument<std::int32_t, sign>>(shape);
  }
}

template <int sign>
std::unique_ptr<Instruction> PrepareExtreme(const char* op, const Call& call) {
  const Shape shape = CheckReduction(op, call, Kind::kNumber, Empty::kRefused);
  const auto make = [&](const auto& table, auto zero) -> std::unique_ptr<Instruction> {
    using F = decltype(zero);
    return std::make_unique<Reduction<F>>(shape, sign > 0 ? table.max_row : table.min_row,
                                          sign > 0 ? table.max_columns : table.min_columns);
  };
  switch (call.inputs[0].dtype) {
    case Dtype::kFloat32: return make(WENGERT_TABLE(Reduce, float), 0.0f);
    case Dtype::kFloat64: return make(WENGERT_TABLE(Reduce, double), 0.0);
    default:
      if (sign > 0) return Folding<MaxInt, std::int32_t>(shape);
      return Folding<MinInt, std::int32_t>(shape);
  }
}

// Running sums, each rounded as it is stored; A is the accumulator.
template <class T, class A>
class Cumsum final : public Instruction {
 public:
  Cumsum(const Shape& shape, bool reverse) : shape_(shape), reverse_(reverse) {}

  bool Run(void* const* operands, Context&) const override {
    const auto [outer, n, inner] = shape_;
    T* out = static_cast<T*>(operands[0]);
    const T* x = static_cast<const T*>(operands[1]);
    for (std::size_t o = 0; o < outer; o++) {
      for (std::size_t i = 0; i < inner; i++) {
        A sum = 0;
        for (std::size_t r = 0; r < n; r++) {
          const std::size_t at = (o * n + (reverse_ ? n - 1 - r : r)) * inner + i;
          sum += static_cast<A>(x[at]);
          out[at] = static_cast<T>(sum);
        }
      }
    }
    return true;
  }

 private:
  Shape shape_;
  bool reverse_;
};

// r += Σ x.
class Accumulate final : public Instruction {
 public:
  Accumulate(std::size_t n, Dtype dtype) : n_(n), dtype_(dtype) {}

  bool Run(void* const* operands, Context&) const override {
    double* r = static_cast<double*>(operands[0]);
    switch (dtype_) {
      case Dtype::kFloat32: *r += f32_.sum_row(n_, static_cast<const float*>(operands[1])); break;
      case Dtype::kFloat64: *r += f64_.sum_row(n_, static_cast<const double*>(operands[1])); break;
      case Dtype::kInt32: *r += Plain(static_cast<const std::int32_t*>(operands[1])); break;
      default: *r += Plain(static_cast<const std::uint8_t*>(operands[1]));
    }
    return true;
  }

  bool Write(LineWriter& line) const override {
    if (!line.Fixed(1) || n_ > thresholds::kMostSummedInLine) return false;
    line.Emit(kLineAccumulate, line.WriteDouble(0), line.Read(1, 0), {}, {}, static_cast<std::int64_t>(n_));
    return true;
  }

 private:
  template <class T>
  double Plain(const T* x) const {
    double sum = 0;
    for (std::size_t i = 0; i < n_; i++) sum += static_cast<double>(x[i]);
    return sum;
  }

  std::size_t n_;
  Dtype dtype_;
  const ReduceTable<float>& f32_ = WENGERT_TABLE(Reduce, float);
  const ReduceTable<double>& f64_ = WENGERT_TABLE(Reduce, double);
};

}  // namespace

std::unique_ptr<Instruction> PrepareSum(const Call& call) {
  const Shape shape = CheckReduction("sum", call, Kind::kNumber, Empty::kAllowed);
  switch (call.inputs[0].dtype) {
    case Dtype::kFloat32: return std::make_unique<Sum<float>>(shape);
    case Dtype::kFloat64: return std::make_unique<Sum<double>>(shape);
    default: return Folding<SumInt, std::int32_t>(shape);
  }
}

std::unique_ptr<Instruction> PrepareProd(const Call& call) {
  const Shape shape = CheckReduction("prod", call, Kind::kNumber, Empty::kAllowed);
  switch (call.inputs[0].dtype) {
    case Dtype::kFloat32: return Folding<ProdFloat, float>(shape);
    case Dtype::kFloat64: return Folding<ProdFloat, double>(shape);
    default: return Folding<ProdInt, std::int32_t>(shape);
  }
}

std::unique_ptr<Instruction> PrepareMax(const Call& call) { return PrepareExtreme<1>("max", call); }
std::unique_ptr<Instruction> PrepareMin(const Call& call) { return PrepareExtreme<-1>("min", call); }
std::unique_ptr<Instruction> PrepareArgmax(const Call& call) { return PrepareArgument<1>("argmax", call); }
std::unique_ptr<Instruction> PrepareArgmin(const Call& call) { return PrepareArgument<-1>("argmin", call); }

std::unique_ptr<Instruction> PrepareAny(const Call& call) {
  return Folding<Any, std::uint8_t>(CheckReduction("any", call, Kind::kBool, Empty::kAllowed));
}
std::unique_ptr<Instruction> PrepareAll(const Call& call) {
  return Folding<All, std::uint8_t>(CheckReduction("all", call, Kind::kBool, Empty::kAllowed));
}

std::unique_ptr<Instruction> PrepareCumsum(const Call& call) {
  const char* op = "cumsum";
  const std::int64_t* dims = CheckDims(op, call, 4);
  CheckScalars(op, call, 0);
  if (dims[3] > 1) Refuse(op, "reverse of 0 or 1", dims[3]);
  CheckCounts(op, call, 1, 1);
  const std::int64_t size = Volume(op, {dims[0], dims[1], dims[2]});
  const Dtype dtype = CheckOperand(op, "x", call.inputs[0], Kind::kNumber, size);
  CheckOperand(op, "out", call.outputs[0], Exactly(dtype), size);
  // An empty axis between large ones must not be walked around.
  const Shape shape = size == 0 ? Shape{0, 0, 0}
                                : Shape{static_cast<std::size_t>(dims[0]), static_cast<std::size_t>(dims[1]),
                                        static_cast<std::size_t>(dims[2])};
  const bool reverse = dims[3] == 1;
  switch (dtype) {
    case Dtype::kFloat32: return std::make_unique<Cumsum<float, double>>(shape, reverse);
    case Dtype::kFloat64: return std::make_unique<Cumsum<double, double>>(shape, reverse);
    default: return std::make_unique<Cumsum<std::int32_t, std::uint32_t>>(shape, reverse);
  }
}

std::unique_ptr<Instruction> PrepareAccumulate(const Call& call) {
  const char* op = "accumulate";
  const std::int64_t* dims = CheckDims(op, call, 1);
  CheckScalars(op, call, 0);
  CheckCounts(op, call, 1, 1);
  const Dtype dtype = CheckOperand(op, "x", call.inputs[0], Kind::kAny, dims[0]);
  CheckOperand(op, "r", call.outputs[0], Kind::kFloat64, 1);
  return std::make_unique<Accumulate>(static_cast<std::size_t>(dims[0]), dtype);
}

}  // namespace wengert
