// matmul: c = alpha · s · op(a) · op(b) + beta · c, per matrix of a batch. m, n, k: c is [m, n], op(a) [m, k], op(b)
// [k, n].
//
// Large products are OpenBLAS's; those with a side of one and the very small are loops of our own (matmul_isa.cc),
// which beat it several times there. On threads, a product is cut into rows of c such that its bits are those of one
// thread.
#include <algorithm>

#include "../program/pool.h"
#include "blas.h"
#include "checks.h"
#include "isa.h"
#include "line.h"
#include "rooms.h"
#include "thresholds.h"

namespace wengert {

namespace {

const char* const kOp = "matmul";

struct Shape {
  std::int64_t batch, m, n, k;
  bool trans_a, trans_b;
  std::int64_t stride_a, stride_b;
};

enum class Way {
  kNothing,  // c is empty
  kScale,    // k = 0: c = beta · c
  kSmall,
  kOuter,     // k = 1
  kRowDots,   // m = 1, b stored [n, k]
  kRowAxpys,  // m = 1, b stored [k, n]
  kColDots,   // n = 1, a stored [m, k]
  kColAxpys,  // n = 1, a stored [k, m]
  kBlas,
};

Way Choose(const Shape& s) {
  if (s.batch == 0 || s.m == 0 || s.n == 0) return Way::kNothing;
  if (s.k == 0) return Way::kScale;
  if (s.k == 1) return Way::kOuter;
  if (s.m == 1) return s.trans_b ? Way::kRowDots : s.n == 1 ? Way::kRowDots : Way::kRowAxpys;
  if (s.n == 1) return s.trans_a ? Way::kColAxpys : Way::kColDots;
  if (std::max({s.m, s.n, s.k}) > INT32_MAX) return Way::kSmall;  // beyond what OpenBLAS's integers hold
  if (std::max({s.m, s.n, s.k}) <= thresholds::kSmallProduct && s.m * s.n * s.k <= thresholds::kSmallProduct) return Way::kSmall;
  return Way::kBlas;
}

// Three plain loops; a at (i, p) is a[i · ai + p · ap], b at (p, j) is b[p · bp + j · bj]. Vectors would cost more than
// they save here.
template <class F>
#if defined(__GNUC__) && !defined(__clang__)
__attribute__((optimize("no-tree-vectorize")))
#endif
void Small(std::int64_t m, std::int64_t n, std::int64_t k, F alpha, const F* a, std::int64_t ai, std::int64_t ap,
           const F* b, std::int64_t bp, std::int64_t bj, F beta, F* c) {
  for (std::int64_t i = 0; i < m; i++, a += ai) {
    const F* column = b;
    for (std::int64_t j = 0; j < n; j++, c++, column += bj) {
      const F* x = a;
      const F* y = column;
      F s = *x * *y;
      for (std::int64_t p = 1; p < k; p++) {
        x += ap;
        y += bp;
        s += *x * *y;
      }
      *c = beta == F(0) ? alpha * s : alpha * s + beta * *c;
    }
  }
}

template <class F>
class Matmul final : public Instruction {
 public:
  Matmul(const Shape& shape, double alpha, double beta, bool scaled)
      : s_(shape),
        way_(Choose(shape)),
        alpha_(static_cast<F>(alpha)),
        beta_(static_cast<F>(beta)),
        scaled_(scaled),
        table_(WENGERT_TABLE(Matmul, F)) {
    if (way_ != Way::kBlas) return;
    PrepareBlas();
    const double work = static_cast<double>(s_.m) * static_cast<double>(s_.n) * static_cast<double>(s_.k);
    cut_ = BlasCut();
    // Rows of a piece: a multiple of 12, large, and not so few that packing b anew for each costs more than it saves.
    const double row = static_cast<double>(s_.n) * static_cast<double>(s_.k);
    const std::int64_t rows = static_cast<std::int64_t>(std::min(kLargePiece / row, static_cast<double>(s_.m))) + 1;
    piece_ = std::max<std::int64_t>((rows + 11) / 12 * 12, cut_ == Cut::kTwelves ? 24 : 60);
    most_ = s_.m / piece_;
    const double stretch = std::min(thresholds::kStretch / row, static_cast<double>(s_.m)) / 12;
    stretch_ = std::max((static_cast<std::int64_t>(stretch) + 1) * 12, thresholds::kStretchRows);
    batch_work_ = work * static_cast<double>(s_.batch);
  }

  // At the boundaries of its own pieces.
  RowCuts Cuts() const override {
    if (way_ != Way::kBlas || s_.batch != 1 || most_ < 2) return {};
    return {s_.m, piece_};
  }

  void RunRows(std::int64_t begin, std::int64_t end, void* const* operands, Context& context) const override {
    Task task = TaskOf(operands);
    task.begin = begin;
    task.end = end;
    const std::int64_t most = std::max<std::int64_t>((end - begin) / piece_, 1);
    task.parts = static_cast<int>(std::min<std::int64_t>(context.pool != nullptr ? Pool::threads() : 1, most));
    if (task.parts > 1) {
      context.pool->Run(task.parts, RowPart, &task);
    } else {
      RowPart(&task, 0);
    }
  }

  bool Run(void* const* operands, Context& context) const override {
    if (way_ == Way::kNothing) return true;
    Task task = TaskOf(operands);
    if (way_ != Way::kBlas) {
      for (std::int64_t i = 0; i < s_.batch; i++) Vectors(task, i);
      return true;
    }
    const int threads = context.pool != nullptr ? Pool::threads() : 1;
    if (s_.batch > 1) {
      if (threads > 1 && batch_work_ >= thresholds::kSplitBatch) {
        task.parts = static_cast<int>(std::min<std::int64_t>(threads, s_.batch));
        context.pool->Run(task.parts, BatchPart, &task);
      } else {
        for (std::int64_t i = 0; i < s_.batch; i++) Pieces(task, i);
      }
      return true;
    }
    task.parts = static_cast<int>(std::min<std::int64_t>(threads, most_));
    if (task.parts > 1) {
      context.pool->Run(task.parts, RowPart, &task);
    } else {
      Pieces(task, 0);
    }
    return true;
  }

  // Each way's own additions: Small rounds each product, the loops of matmul_isa.cc do not.
  bool Write(LineWriter& line) const override {
    const auto [batch, m, n, k, trans_a, trans_b, stride_a, stride_b] = s_;
    if (batch != 1 || k == 0 || m * n > thresholds::kMostCellsInLine || m * n * k > thresholds::kMostProductsInLine || way_ == Way::kBlas) return false;
    if (!line.Fixed(1) || !line.Fixed(2) || (beta_ != F(0) && beta_ != F(1))) return false;
    const bool dots = way_ == Way::kRowDots || way_ == Way::kColDots;
    if (dots && k >= static_cast<std::int64_t>(32 / sizeof(F))) return false;  // summed in lanes
    const bool one = alpha_ == F(1) && !scaled_;
    Cell factor;
    if (!one) {
      factor = scaled_ ? line.Read(3, 0) : line.Constant(static_cast<double>(alpha_));
      if (scaled_ && alpha_ != F(1)) {
        const Cell product = line.Own();
        line.Emit(kLineMul, product, line.Constant(static_cast<double>(alpha_)), factor);
        factor = product;
      }
    }
    for (std::int64_t i = 0; i < m; i++) {
      const Cell row = line.Read(1, trans_a ? i : i * k);
      Cell scale = row;
      if (way_ == Way::kOuter && !one) line.Emit(kLineMul, scale = line.Own(), factor, row);
      for (std::int64_t j = 0; j < n; j++) {
        const Cell column = line.Read(2, trans_b ? j * k : j);
        const Cell to = line.Write(0, i * n + j);
        if (way_ == Way::kOuter) {
          line.Emit(beta_ == F(1) ? kLineFma : kLineMul, to, scale, column, to);
          continue;
        }
        const bool plain = one && beta_ == F(0);
        Cell sum = plain ? to : line.Own();
        line.Emit(way_ == Way::kSmall ? kLineDot : kLineFusedDot, sum, row, column, {}, k, trans_a ? m : 1,
                  trans_b ? 1 : n);
        if (plain) continue;
        if (!one) line.Emit(kLineMul, beta_ == F(0) ? to : sum, factor, sum);
        if (beta_ == F(1)) line.Emit(kLineAdd, to, sum, to);
      }
    }
    return true;
  }

 private:
  struct Task {
    const Matmul* self;
    F* c;
    const F* a;
    const F* b;
    F alpha;
    int parts;
    std::int64_t begin, end;  // rows
  };

  Task TaskOf(void* const* operands) const {
    return {this,
            static_cast<F*>(operands[0]),
            static_cast<const F*>(operands[1]),
            static_cast<const F*>(operands[2]),
            scaled_ ? alpha_ * *static_cast<const F*>(operands[3]) : alpha_,
            1,
            0,
            s_.m};
  }

  static void BatchPart(void* argument, int part) {
    const Task& task = *static_cast<const Task*>(argument);
    const std::int64_t batch = task.self->s_.batch;
    for (std::int64_t i = batch * part / task.parts; i < batch * (part + 1) / task.parts; i++) {
      task.self->Pieces(task, i);
    }
  }

  // One thread's rows: whole pieces, so many for each; the last takes what is left over.
  static void RowPart(void* argument, int part) {
    const Task& task = *static_cast<const Task*>(argument);
    const Matmul& self = *task.self;
    const std::int64_t begin = self.Boundary(task, part);
    const std::int64_t end = self.Boundary(task, part + 1);
    if (self.cut_ == Cut::kTwelves) {
      self.Stretches(task, 0, begin, end);
    } else {
      self.Tiles(task, 0, begin, end);
    }
  }

  // Where a part of a task's rows begins: at a multiple of 12 (or of a tile), never making a piece that is not large.
  std::int64_t Boundary(const Task& task, int part) const {
    if (part == task.parts) return task.end;
    const std::int64_t unit = cut_ == Cut::kTwelves ? 12 : piece_;
    const std::int64_t rows = task.end - task.begin;
    const std::int64_t even = (rows * part / task.parts + unit / 2) / unit * unit;
    return task.begin + std::clamp(even, part * piece_, (rows - (task.parts - part) * piece_) / unit * unit);
  }

  // One thread: the whole product, or the tiles fixed by its shape.
  void Pieces(const Task& task, std::int64_t i) const {
    if (cut_ == Cut::kTwelves) {
      Stretches(task, i, 0, s_.m);
    } else if (most_ < 2) {
      Rows(task, i, 0, s_.m);
    } else {
      Tiles(task, i, 0, s_.m);
    }
  }

  // The tiles of piece_ rows between two of their boundaries; the last of all takes the rows left over.
  void Tiles(const Task& task, std::int64_t i, std::int64_t begin, std::int64_t end) const {
    for (std::int64_t at = begin; at < end && !Pool::Leaving();) {
      const std::int64_t next = at / piece_ + 1 >= most_ ? s_.m : at + piece_;
      Rows(task, i, at, next);
      at = next;
    }
  }

  // Rows that one thread computes, where cuts at multiples of 12 leave the bits as they are: long ones in stretches.
  void Stretches(const Task& task, std::int64_t i, std::int64_t begin, std::int64_t end) const {
    for (std::int64_t at = begin; at < end && !Pool::Leaving();) {
      const std::int64_t next = end - at < 2 * stretch_ ? end : at + stretch_;
      Rows(task, i, at, next);
      at = next;
    }
  }

  void Rows(const Task& task, std::int64_t i, std::int64_t begin, std::int64_t end) const {
    const F* a = task.a + i * s_.stride_a + (s_.trans_a ? begin : begin * s_.k);
    Gemm<F>(s_.trans_a, s_.trans_b, static_cast<std::size_t>(end - begin), static_cast<std::size_t>(s_.n),
            static_cast<std::size_t>(s_.k), task.alpha, a, static_cast<std::size_t>(s_.trans_a ? s_.m : s_.k),
            task.b + i * s_.stride_b, static_cast<std::size_t>(s_.trans_b ? s_.k : s_.n), beta_,
            task.c + i * s_.m * s_.n + begin * s_.n, static_cast<std::size_t>(s_.n));
  }

  void Vectors(const Task& task, std::int64_t i) const {
    const std::size_t m = static_cast<std::size_t>(s_.m);
    const std::size_t n = static_cast<std::size_t>(s_.n);
    const std::size_t k = static_cast<std::size_t>(s_.k);
    const F* a = task.a + i * s_.stride_a;
    const F* b = task.b + i * s_.stride_b;
    F* c = task.c + i * s_.m * s_.n;
    switch (way_) {
      case Way::kScale:
        for (std::size_t j = 0; j < m * n; j++) c[j] = beta_ == F(0) ? F(0) : beta_ * c[j];
        break;
      case Way::kOuter: table_.outer(m, n, task.alpha, a, b, beta_, c); break;
      case Way::kRowDots: table_.dots(n, k, task.alpha, b, a, beta_, c); break;
      case Way::kRowAxpys: table_.axpys(k, n, task.alpha, b, a, beta_, c); break;
      case Way::kColDots: table_.dots(m, k, task.alpha, a, b, beta_, c); break;
      case Way::kColAxpys: table_.axpys(k, m, task.alpha, a, b, beta_, c); break;
      default:
        Small<F>(s_.m, s_.n, s_.k, task.alpha, a, s_.trans_a ? 1 : s_.k, s_.trans_a ? s_.m : 1, b,
                 s_.trans_b ? 1 : s_.n, s_.trans_b ? s_.k : 1, beta_, c);
    }
  }

  Shape s_;
  Way way_;
  F alpha_, beta_;
  bool scaled_;
  const MatmulTable<F>& table_;
  Cut cut_ = Cut::kFixed;
  std::int64_t piece_ = 1;  // rows of the least piece
  std::int64_t most_ = 0;   // pieces at most
  std::int64_t stretch_ = 0;  // rows
  double batch_work_ = 0;
};

// The elements that `batch` matrices of `size` at `stride` take; any number where none is read.
std::int64_t Extent(std::int64_t batch, std::int64_t stride, std::int64_t size, const Operand& operand) {
  if (size == 0) return 0;
  if (batch == 0) return operand.length;
  if (batch > 1 && stride > (kSafe - size) / (batch - 1)) Refuse(kOp, "strides with an exact extent", stride);
  return (batch - 1) * stride + size;
}

}  // namespace

std::unique_ptr<Instruction> PrepareMatmul(const Call& call) {
  const std::int64_t* ints = CheckDims(kOp, call, 8);
  const double* scalars = CheckScalars(kOp, call, 2);
  const bool scaled = call.input_count == 3;
  CheckCounts(kOp, call, 1, scaled ? 3 : 2);
  if (ints[4] > 1 || ints[5] > 1) Refuse(kOp, "transA and transB of 0 or 1", std::max(ints[4], ints[5]));
  const Shape shape{ints[0], ints[1], ints[2], ints[3], ints[4] == 1, ints[5] == 1, ints[6], ints[7]};
  const Dtype dtype =
      CheckOperand(kOp, "c", call.outputs[0], Kind::kFloat, Volume(kOp, {shape.batch, shape.m, shape.n}));
  CheckOperand(kOp, "a", call.inputs[0], Exactly(dtype),
               Extent(shape.batch, shape.stride_a, Volume(kOp, {shape.m, shape.k}), call.inputs[0]));
  CheckOperand(kOp, "b", call.inputs[1], Exactly(dtype),
               Extent(shape.batch, shape.stride_b, Volume(kOp, {shape.k, shape.n}), call.inputs[1]));
  if (scaled) CheckOperand(kOp, "s", call.inputs[2], Exactly(dtype), 1);
  if (dtype == Dtype::kFloat32) return std::make_unique<Matmul<float>>(shape, scalars[0], scalars[1], scaled);
  return std::make_unique<Matmul<double>>(shape, scalars[0], scalars[1], scaled);
}

}  // namespace wengert
