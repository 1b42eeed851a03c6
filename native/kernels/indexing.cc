// Kernels driven by integer data. Every index is read once and checked as it is used: a bad one ends the run with its
// place in the index operand, its value and the size that it had to be below.
//
// outer, n, inner, k: the indexed operand is [outer, n, inner], the other one [outer, k, inner].
#include <algorithm>
#include <cstring>

#include "checks.h"
#include "line.h"
#include "rooms.h"
#include "thresholds.h"

namespace wengert {

namespace {

struct Shape {
  std::size_t outer, n, inner, k;
};

bool Bad(std::size_t position, double value, std::size_t n, Context& context) {
  context.bad_index = {static_cast<std::int64_t>(position), value, static_cast<std::int64_t>(n)};
  return false;
}

bool Inside(std::int32_t value, std::size_t n) { return value >= 0 && static_cast<std::size_t>(value) < n; }

// Where nothing is moved (outer or inner is 0), the indices of [k] are tested all the same.
bool TestAll(const std::int32_t* index, const Shape& s, Context& context) {
  for (std::size_t j = 0; j < s.k; j++) {
    const std::int32_t row = LoadIndex(index + j);
    if (!Inside(row, s.n)) return Bad(j, row, s.n, context);
  }
  return true;
}

// out[o, j, :] = x[o, index[j], :]; T has the size of an element.
template <class T>
class Gather final : public Instruction {
 public:
  explicit Gather(const Shape& shape) : s_(shape) {}

  bool Run(void* const* operands, Context& context) const override {
    T* out = static_cast<T*>(operands[0]);
    const T* x = static_cast<const T*>(operands[1]);
    const std::int32_t* index = static_cast<const std::int32_t*>(operands[2]);
    const auto [outer, n, inner, k] = s_;
    if (outer == 0 || inner == 0) return TestAll(index, s_, context);
    if (k == 0) return true;
    for (std::size_t o = 0; o < outer; o++, x += n * inner) {
      for (std::size_t j = 0; j < k; j++, out += inner) {
        const std::int32_t row = LoadIndex(index + j);
        if (!Inside(row, n)) return Bad(j, row, n, context);
        const T* from = x + static_cast<std::size_t>(row) * inner;
        if (inner == 1) {
          *out = *from;
        } else {
          std::memcpy(out, from, inner * sizeof(T));
        }
      }
    }
    return true;
  }

  bool Write(LineWriter& line) const override {
    const auto [outer, n, inner, k] = s_;
    if (outer != 1 || k != 1 || inner == 0 || inner > thresholds::kMostGatheredInLine || n > INT32_MAX || sizeof(T) < 4) return false;
    line.Emit(sizeof(T) == 4 ? kLineGather4 : kLineGather8, line.Write(0, 0), line.Operand(1), line.Operand(2), {},
              static_cast<std::int64_t>(inner), static_cast<std::int64_t>(n));
    return true;
  }

 private:
  Shape s_;
};

// out[o, index[j], :] += alpha · s · x[o, j, :], from zero or `onto` what is there.
template <class F>
class ScatterAdd final : public Instruction {
 public:
  ScatterAdd(const Shape& shape, bool onto, double alpha, bool scaled)
      : s_(shape), onto_(onto), scaled_(scaled), alpha_(alpha) {}

  bool Run(void* const* operands, Context& context) const override {
    F* out = static_cast<F*>(operands[0]);
    const F* x = static_cast<const F*>(operands[1]);
    const std::int32_t* index = static_cast<const std::int32_t*>(operands[2]);
    const auto [outer, n, inner, k] = s_;
    if (outer == 0 || inner == 0) return TestAll(index, s_, context);
    // What is added to must not be left half changed.
    if (onto_) {
      if (!TestAll(index, s_, context)) return false;
    } else {
      std::fill(out, out + outer * n * inner, F(0));
    }
    if (k == 0) return true;
    const F a = static_cast<F>(scaled_ ? alpha_ * static_cast<double>(*static_cast<const F*>(operands[3])) : alpha_);
    for (std::size_t o = 0; o < outer; o++, out += n * inner) {
      for (std::size_t j = 0; j < k; j++, x += inner) {
        const std::int32_t row = LoadIndex(index + j);
        if (!Inside(row, n)) return Bad(j, row, n, context);
        F* to = out + static_cast<std::size_t>(row) * inner;
        for (std::size_t i = 0; i < inner; i++) to[i] += a * x[i];
      }
    }
    return true;
  }

 private:
  Shape s_;
  bool onto_, scaled_;
  double alpha_;
};

// out[o, j, i] = x[o, index[o, j, i], i]
template <class T>
class TakeAlong final : public Instruction {
 public:
  explicit TakeAlong(const Shape& shape) : s_(shape) {}

  bool Run(void* const* operands, Context& context) const override {
    T* out = static_cast<T*>(operands[0]);
    const T* x = static_cast<const T*>(operands[1]);
    const std::int32_t* index = static_cast<const std::int32_t*>(operands[2]);
    const auto [outer, n, inner, k] = s_;
    if (outer * k * inner == 0) return true;
    std::size_t at = 0;
    for (std::size_t o = 0; o < outer; o++, x += n * inner) {
      for (std::size_t j = 0; j < k; j++) {
        for (std::size_t i = 0; i < inner; i++, at++) {
          const std::int32_t row = LoadIndex(index + at);
          if (!Inside(row, n)) return Bad(at, row, n, context);
          out[at] = x[static_cast<std::size_t>(row) * inner + i];
        }
      }
    }
    return true;
  }

 private:
  Shape s_;
};

// out[o, index[o, j, i], i] += x[o, j, i], from zero.
template <class F>
class PutAlong final : public Instruction {
 public:
  explicit PutAlong(const Shape& shape) : s_(shape) {}

  bool Run(void* const* operands, Context& context) const override {
    F* out = static_cast<F*>(operands[0]);
    const F* x = static_cast<const F*>(operands[1]);
    const std::int32_t* index = static_cast<const std::int32_t*>(operands[2]);
    const auto [outer, n, inner, k] = s_;
    std::fill(out, out + outer * n * inner, F(0));
    if (outer * k * inner == 0) return true;
    std::size_t at = 0;
    for (std::size_t o = 0; o < outer; o++, out += n * inner) {
      for (std::size_t j = 0; j < k; j++) {
        for (std::size_t i = 0; i < inner; i++, at++) {
          const std::int32_t row = LoadIndex(index + at);
          if (!Inside(row, n)) return Bad(at, row, n, context);
          out[static_cast<std::size_t>(row) * inner + i] += x[at];
        }
      }
    }
    return true;
  }

 private:
  Shape s_;
};

// out[j, :] = 0 but for out[j, index[j]] = 1
template <class T>
class OneHot final : public Instruction {
 public:
  OneHot(std::size_t k, std::size_t n) : k_(k), n_(n) {}

  bool Run(void* const* operands, Context& context) const override {
    T* out = static_cast<T*>(operands[0]);
    const std::int32_t* index = static_cast<const std::int32_t*>(operands[1]);
    std::fill(out, out + k_ * n_, T(0));
    for (std::size_t j = 0; j < k_; j++) {
      const std::int32_t place = LoadIndex(index + j);
      if (!Inside(place, n_)) return Bad(j, place, n_, context);
      out[j * n_ + static_cast<std::size_t>(place)] = T(1);
    }
    return true;
  }

 private:
  std::size_t k_, n_;
};

// out[j] = x[j], which must be an integer in 0 … n − 1.
template <class F>
class ToIndex final : public Instruction {
 public:
  ToIndex(std::size_t k, std::size_t n) : k_(k), n_(n) {}

  bool Run(void* const* operands, Context& context) const override {
    std::int32_t* out = static_cast<std::int32_t*>(operands[0]);
    const F* x = static_cast<const F*>(operands[1]);
    for (std::size_t j = 0; j < k_; j++) {
      const F value = x[j];
      // NaN fails the comparisons.
      const bool fits = value >= F(0) && value < F(2147483648.0);
      const std::int32_t index = fits ? static_cast<std::int32_t>(value) : -1;
      if (!Inside(index, n_) || static_cast<F>(index) != value) return Bad(j, static_cast<double>(value), n_, context);
      out[j] = index;
    }
    return true;
  }

 private:
  std::size_t k_, n_;
};

// `along`: the index operand is [outer, k, inner], else [k]. `adds`: out is the indexed operand.
Shape CheckIndexed(const char* op, const Call& call, bool along, bool adds, std::size_t scalars = 0,
                   std::size_t inputs = 2) {
  const std::int64_t* dims = CheckDims(op, call, 4);
  CheckScalars(op, call, scalars);
  CheckCounts(op, call, 1, inputs);
  const std::int64_t big = Volume(op, {dims[0], dims[1], dims[2]});
  const std::int64_t small = Volume(op, {dims[0], dims[3], dims[2]});
  const Dtype dtype = CheckOperand(op, "x", call.inputs[0], adds ? Kind::kFloat : Kind::kAny, adds ? small : big);
  CheckOperand(op, "out", call.outputs[0], Exactly(dtype), adds ? big : small);
  CheckOperand(op, "index", call.inputs[1], Kind::kInt32, along ? small : dims[3]);
  return {static_cast<std::size_t>(dims[0]), static_cast<std::size_t>(dims[1]), static_cast<std::size_t>(dims[2]),
          static_cast<std::size_t>(dims[3])};
}

template <template <class> class I>
std::unique_ptr<Instruction> BySize(const Call& call, const Shape& shape) {
  switch (SizeOf(call.inputs[0].dtype)) {
    case 1: return std::make_unique<I<std::uint8_t>>(shape);
    case 4: return std::make_unique<I<std::uint32_t>>(shape);
    default: return std::make_unique<I<std::uint64_t>>(shape);
  }
}

template <template <class> class I>
std::unique_ptr<Instruction> ByFloat(const Call& call, const Shape& shape) {
  if (call.inputs[0].dtype == Dtype::kFloat32) return std::make_unique<I<float>>(shape);
  return std::make_unique<I<double>>(shape);
}

}  // namespace

std::unique_ptr<Instruction> PrepareGather(const Call& call) {
  return BySize<Gather>(call, CheckIndexed("gather", call, false, false));
}
std::unique_ptr<Instruction> PrepareScatterAdd(const Call& call) {
  const char* op = "scatterAdd";
  const bool scaled = call.input_count == 3;
  const Shape shape = CheckIndexed(op, call, false, true, 2, scaled ? 3 : 2);
  const double alpha = call.scalars[0], beta = call.scalars[1];
  if (beta != 0 && beta != 1) Refuse(op, "beta of 0 or 1", std::to_string(beta));
  const bool onto = beta == 1;
  if (scaled) CheckOperand(op, "s", call.inputs[2], Exactly(call.inputs[0].dtype), 1);
  if (call.inputs[0].dtype == Dtype::kFloat32) return std::make_unique<ScatterAdd<float>>(shape, onto, alpha, scaled);
  return std::make_unique<ScatterAdd<double>>(shape, onto, alpha, scaled);
}
std::unique_ptr<Instruction> PrepareTakeAlong(const Call& call) {
  return BySize<TakeAlong>(call, CheckIndexed("takeAlong", call, true, false));
}
std::unique_ptr<Instruction> PreparePutAlong(const Call& call) {
  return ByFloat<PutAlong>(call, CheckIndexed("putAlong", call, true, true));
}

std::unique_ptr<Instruction> PrepareToIndex(const Call& call) {
  const char* op = "toIndex";
  const std::int64_t* dims = CheckDims(op, call, 2);
  CheckScalars(op, call, 0);
  CheckCounts(op, call, 1, 1);
  CheckOperand(op, "out", call.outputs[0], Kind::kInt32, dims[0]);
  const Dtype dtype = CheckOperand(op, "x", call.inputs[0], Kind::kFloat, dims[0]);
  const std::size_t k = static_cast<std::size_t>(dims[0]);
  const std::size_t n = static_cast<std::size_t>(dims[1]);
  if (dtype == Dtype::kFloat32) return std::make_unique<ToIndex<float>>(k, n);
  return std::make_unique<ToIndex<double>>(k, n);
}

std::unique_ptr<Instruction> PrepareOneHot(const Call& call) {
  const char* op = "oneHot";
  const std::int64_t* dims = CheckDims(op, call, 2);
  CheckScalars(op, call, 0);
  CheckCounts(op, call, 1, 1);
  CheckOperand(op, "out", call.outputs[0], Kind::kAny, Volume(op, {dims[0], dims[1]}));
  CheckOperand(op, "index", call.inputs[0], Kind::kInt32, dims[0]);
  const std::size_t k = static_cast<std::size_t>(dims[0]);
  const std::size_t n = static_cast<std::size_t>(dims[1]);
  switch (call.outputs[0].dtype) {
    case Dtype::kFloat32: return std::make_unique<OneHot<float>>(k, n);
    case Dtype::kFloat64: return std::make_unique<OneHot<double>>(k, n);
    case Dtype::kInt32: return std::make_unique<OneHot<std::int32_t>>(k, n);
    default: return std::make_unique<OneHot<std::uint8_t>>(k, n);
  }
}

}  // namespace wengert
