// Softmax, logSoftmax and logSumExp over the middle axis of x[outer, n, inner], and cross entropy of labelled rows.
#include <utility>

#include "checks.h"
#include "isa.h"
#include "rooms.h"

namespace wengert {

namespace {

// One of the three; rows where inner = 1, columns else.
template <class F>
class Axis final : public Instruction {
 public:
  using Loop = void (*)(std::size_t, std::size_t, const F*, F*);
  Axis(std::size_t outer, std::size_t n, std::size_t inner, std::size_t out_n, Loop rows, Loop columns)
      : outer_(outer), n_(n), inner_(inner), out_n_(out_n), rows_(rows), columns_(columns) {}

  bool Run(void* const* operands, Context&) const override {
    F* y = static_cast<F*>(operands[0]);
    const F* x = static_cast<const F*>(operands[1]);
    if (outer_ * out_n_ * inner_ == 0) return true;
    if (inner_ == 1) {
      rows_(outer_, n_, x, y);
    } else {
      for (std::size_t o = 0; o < outer_; o++) columns_(n_, inner_, x + o * n_ * inner_, y + o * out_n_ * inner_);
    }
    return true;
  }

 private:
  std::size_t outer_, n_, inner_, out_n_;
  Loop rows_, columns_;
};

// `loops(table)` gives the rows' and the columns' loop of a table.
template <class Loops>
std::unique_ptr<Instruction> PrepareAxis(const char* op, const Call& call, bool reduces, Loops loops) {
  const std::int64_t* dims = CheckDims(op, call, 3);
  CheckScalars(op, call, 0);
  CheckCounts(op, call, 1, 1);
  const std::int64_t size = Volume(op, {dims[0], dims[1], dims[2]});
  const Dtype dtype = CheckOperand(op, "x", call.inputs[0], Kind::kFloat, size);
  CheckOperand(op, "out", call.outputs[0], Exactly(dtype), reduces ? Volume(op, {dims[0], dims[2]}) : size);
  const auto make = [&](const auto& table, auto zero) -> std::unique_ptr<Instruction> {
    using F = decltype(zero);
    const auto [rows, columns] = loops(table);
    const std::size_t n = static_cast<std::size_t>(dims[1]);
    return std::make_unique<Axis<F>>(dims[0], n, dims[2], reduces ? 1 : n, rows, columns);
  };
  if (dtype == Dtype::kFloat32) return make(WENGERT_TABLE(Softmax, float), 0.0f);
  return make(WENGERT_TABLE(Softmax, double), 0.0);
}

struct Labelled {
  std::size_t m, n;
  Dtype dtype;
};

Labelled CheckLabelled(const char* op, const Call& call, std::size_t inputs, std::size_t outputs = 1) {
  const std::int64_t* dims = CheckDims(op, call, 2);
  CheckScalars(op, call, 0);
  CheckCounts(op, call, outputs, inputs);
  const Dtype dtype = CheckOperand(op, "z", call.inputs[0], Kind::kFloat, Volume(op, {dims[0], dims[1]}));
  CheckOperand(op, "label", call.inputs[1], Kind::kInt32, dims[0]);
  return {static_cast<std::size_t>(dims[0]), static_cast<std::size_t>(dims[1]), dtype};
}

bool Report(std::size_t row, std::size_t rows, std::int32_t value, std::size_t n, Context& context) {
  if (row == rows) return true;
  context.bad_index = {static_cast<std::int64_t>(row), static_cast<double>(value), static_cast<std::int64_t>(n)};
  return false;
}

template <class F>
class CrossEntropy final : public Instruction {
 public:
  explicit CrossEntropy(const Labelled& shape) : m_(shape.m), n_(shape.n), table_(WENGERT_TABLE(Softmax, F)) {}

  bool Run(void* const* operands, Context& context) const override {
    std::int32_t bad = 0;
    const std::size_t row =
        table_.cross_entropy(m_, n_, static_cast<const F*>(operands[1]), static_cast<const std::int32_t*>(operands[2]),
                             static_cast<F*>(operands[0]), &bad);
    return Report(row, m_, bad, n_, context);
  }

 private:
  std::size_t m_, n_;
  const SoftmaxTable<F>& table_;
};

template <class F>
class CrossEntropyGrad final : public Instruction {
 public:
  CrossEntropyGrad(const Labelled& shape, std::size_t g_stride, bool with_loss)
      : m_(shape.m), n_(shape.n), g_stride_(g_stride), with_loss_(with_loss), table_(WENGERT_TABLE(Softmax, F)) {}

  bool Run(void* const* operands, Context& context) const override {
    std::int32_t bad = 0;
    void* const* in = operands + (with_loss_ ? 2 : 1);
    const std::size_t row = table_.cross_entropy_grad(
        m_, n_, static_cast<const F*>(in[0]), static_cast<const std::int32_t*>(in[1]), static_cast<const F*>(in[2]),
        g_stride_, static_cast<F*>(operands[0]), with_loss_ ? static_cast<F*>(operands[1]) : nullptr, &bad);
    return Report(row, m_, bad, n_, context);
  }

 private:
  std::size_t m_, n_, g_stride_;
  bool with_loss_;
  const SoftmaxTable<F>& table_;
};

}  // namespace

std::unique_ptr<Instruction> PrepareSoftmax(const Call& call) {
  return PrepareAxis("softmax", call, false,
                     [](const auto& t) { return std::pair(t.softmax_rows, t.softmax_columns); });
}

std::unique_ptr<Instruction> PrepareLogSoftmax(const Call& call) {
  return PrepareAxis("logSoftmax", call, false,
                     [](const auto& t) { return std::pair(t.log_softmax_rows, t.log_softmax_columns); });
}

std::unique_ptr<Instruction> PrepareLogSumExp(const Call& call) {
  return PrepareAxis("logSumExp", call, true,
                     [](const auto& t) { return std::pair(t.log_sum_exp_rows, t.log_sum_exp_columns); });
}

std::unique_ptr<Instruction> PrepareSoftmaxCrossEntropy(const Call& call) {
  const char* op = "softmaxCrossEntropy";
  const Labelled shape = CheckLabelled(op, call, 2);
  CheckOperand(op, "loss", call.outputs[0], Exactly(shape.dtype), static_cast<std::int64_t>(shape.m));
  if (shape.dtype == Dtype::kFloat32) return std::make_unique<CrossEntropy<float>>(shape);
  return std::make_unique<CrossEntropy<double>>(shape);
}

std::unique_ptr<Instruction> PrepareSoftmaxCrossEntropyGrad(const Call& call) {
  const char* op = "softmaxCrossEntropyGrad";
  const bool with_loss = call.output_count == 2;
  const Labelled shape = CheckLabelled(op, call, 3, with_loss ? 2 : 1);
  const std::int64_t m = static_cast<std::int64_t>(shape.m);
  CheckOperand(op, "dz", call.outputs[0], Exactly(shape.dtype), call.inputs[0].length);
  if (with_loss) CheckOperand(op, "loss", call.outputs[1], Exactly(shape.dtype), m);
  const bool each = call.inputs[2].length == m;
  CheckOperand(op, "g", call.inputs[2], Exactly(shape.dtype), each ? m : 1);
  if (shape.dtype == Dtype::kFloat32) return std::make_unique<CrossEntropyGrad<float>>(shape, each ? 1 : 0, with_loss);
  return std::make_unique<CrossEntropyGrad<double>>(shape, each ? 1 : 0, with_loss);
}

}  // namespace wengert
