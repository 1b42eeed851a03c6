// Softmax and its kin, compiled once for each instruction set: see isa.h. The largest element is subtracted before
// exponentials are taken: without it, exp overflows and the quotient is NaN. Sums are in double.
//
// Rows are taken several at a time, so that the exponentials of short rows are one long vector loop.
#include "math.h"
#include "rows.h"

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {

namespace {

// Elements handled together: whole rows, or a piece of one; columns, or a piece of them.
constexpr std::size_t kBlock = 512;

template <class F>
WENGERT_INLINE void Exponentials(std::size_t n, F* y) {
  WENGERT_IVDEP
  for (std::size_t i = 0; i < n; i++) y[i] = Exp(y[i]);
}

template <class F>
WENGERT_INLINE void Subtract(std::size_t n, F* y, const F* x, F top) {
  for (std::size_t i = 0; i < n; i++) y[i] = x[i] - top;
}

template <class F>
WENGERT_INLINE void Multiply(std::size_t n, F* y, F scale) {
  for (std::size_t i = 0; i < n; i++) y[i] *= scale;
}

template <class F>
WENGERT_INLINE bool IsInfinite(F x) {
  return Abs(x) > (sizeof(F) == 4 ? F(3.40282347e38f) : F(1.7976931348623157e308));
}

// total = ln of the sums.
WENGERT_INLINE void Logarithms(std::size_t count, double* total) {
  WENGERT_IVDEP
  for (std::size_t i = 0; i < count; i++) total[i] = Log(total[i]);
}

// The largest element plus ln of the sum: an infinite one is the answer itself (infinity less itself would be NaN).
template <class F>
WENGERT_INLINE double LogSumExp(F top, double log) {
  return IsInfinite(top) ? static_cast<double>(top) : static_cast<double>(top) + log;
}

WENGERT_INLINE std::size_t RowsOfBlock(std::size_t rows, std::size_t n) {
  const std::size_t most = n < kBlock ? kBlock / n : 1;
  return rows < most ? rows : most;
}

// top[r] and total[r], the largest element and the sum of the exponentials less it, of rows that fill at most one
// block, or of one longer row; the exponentials go by way of the stack.
template <class F>
WENGERT_INLINE void RowTotals(std::size_t rows, std::size_t n, const F* x, F* top, double* total) {
  F scratch[kBlock];
  if (n > kBlock) {
    top[0] = ExtremeOfRow<1>(n, x);
    total[0] = 0;
    for (std::size_t from = 0; from < n; from += kBlock) {
      const std::size_t count = n - from < kBlock ? n - from : kBlock;
      Subtract(count, scratch, x + from, top[0]);
      Exponentials(count, scratch);
      total[0] += SumOfRow(count, scratch);
    }
    return;
  }
  for (std::size_t r = 0; r < rows; r++) {
    top[r] = ExtremeOfRow<1>(n, x + r * n);
    Subtract(n, scratch + r * n, x + r * n, top[r]);
  }
  Exponentials(rows * n, scratch);
  for (std::size_t r = 0; r < rows; r++) total[r] = SumOfRow(n, scratch + r * n);
}

// y = the exponentials of a block of rows, less each row's largest element, which goes to `top`.
template <class F>
WENGERT_INLINE void RowExponentials(std::size_t rows, std::size_t n, const F* x, F* y, F* top) {
  for (std::size_t r = 0; r < rows; r++) {
    top[r] = ExtremeOfRow<1>(n, x + r * n);
    Subtract(n, y + r * n, x + r * n, top[r]);
  }
  Exponentials(rows * n, y);
}

template <class F>
void SoftmaxRows(std::size_t rows, std::size_t n, const F* x, F* y) {
  double total[kBlock];
  F scale[kBlock];
  F top[kBlock];
  const std::size_t step = RowsOfBlock(rows, n);
  for (std::size_t from = 0; from < rows; from += step) {
    const std::size_t count = rows - from < step ? rows - from : step;
    F* block = y + from * n;
    RowExponentials(count, n, x + from * n, block, top);
    for (std::size_t r = 0; r < count; r++) total[r] = SumOfRow(n, block + r * n);
    for (std::size_t r = 0; r < count; r++) scale[r] = static_cast<F>(1 / total[r]);
    for (std::size_t r = 0; r < count; r++) Multiply(n, block + r * n, scale[r]);
  }
}

template <class F>
void LogSoftmaxRows(std::size_t rows, std::size_t n, const F* x, F* y) {
  const std::size_t step = RowsOfBlock(rows, n);
  F top[kBlock];
  double total[kBlock];
  for (std::size_t from = 0; from < rows; from += step) {
    const std::size_t count = rows - from < step ? rows - from : step;
    RowTotals(count, n, x + from * n, top, total);
    Logarithms(count, total);
    for (std::size_t r = 0; r < count; r++) {
      const F* row = x + (from + r) * n;
      F* to = y + (from + r) * n;
      const F log = static_cast<F>(total[r]);
      for (std::size_t i = 0; i < n; i++) to[i] = (row[i] - top[r]) - log;
    }
  }
}

template <class F>
void LogSumExpRows(std::size_t rows, std::size_t n, const F* x, F* y) {
  if (n == 0) {
    for (std::size_t r = 0; r < rows; r++) y[r] = -static_cast<F>(__builtin_inff());
    return;
  }
  const std::size_t step = RowsOfBlock(rows, n);
  F top[kBlock];
  double total[kBlock];
  for (std::size_t from = 0; from < rows; from += step) {
    const std::size_t count = rows - from < step ? rows - from : step;
    RowTotals(count, n, x + from * n, top, total);
    Logarithms(count, total);
    for (std::size_t r = 0; r < count; r++) y[from + r] = static_cast<F>(LogSumExp(top[r], total[r]));
  }
}

// What is to be done with the exponentials of a row of columns.
enum class Column { kKeep, kDrop };

// top[i] and total[i] of `count` columns of x[n, inner]; the exponentials stay in y where kept.
template <Column keep, class F>
WENGERT_INLINE void ColumnTotals(std::size_t n, std::size_t inner, std::size_t count, const F* x, F* y, F* top,
                                 double* total) {
  F scratch[kBlock];
  for (std::size_t i = 0; i < count; i++) {
    top[i] = -static_cast<F>(__builtin_inff());
    total[i] = 0;
  }
  for (std::size_t r = 0; r < n; r++) {
    for (std::size_t i = 0; i < count; i++) top[i] = Better<1>(top[i], x[r * inner + i]);
  }
  for (std::size_t r = 0; r < n; r++) {
    F* to = keep == Column::kKeep ? y + r * inner : scratch;
    for (std::size_t i = 0; i < count; i++) scratch[i] = Exp(x[r * inner + i] - top[i]);
    for (std::size_t i = 0; i < count; i++) total[i] += static_cast<double>(scratch[i]);
    if (keep == Column::kKeep) {
      for (std::size_t i = 0; i < count; i++) to[i] = scratch[i];
    }
  }
}

template <class F>
void SoftmaxColumns(std::size_t n, std::size_t inner, const F* x, F* y) {
  F top[kBlock];
  double total[kBlock];
  for (std::size_t from = 0; from < inner; from += kBlock) {
    const std::size_t count = inner - from < kBlock ? inner - from : kBlock;
    ColumnTotals<Column::kKeep>(n, inner, count, x + from, y + from, top, total);
    for (std::size_t i = 0; i < count; i++) top[i] = static_cast<F>(1 / total[i]);
    for (std::size_t r = 0; r < n; r++) {
      F* row = y + r * inner + from;
      for (std::size_t i = 0; i < count; i++) row[i] *= top[i];
    }
  }
}

template <class F>
void LogSoftmaxColumns(std::size_t n, std::size_t inner, const F* x, F* y) {
  F top[kBlock];
  F log[kBlock];
  double total[kBlock];
  for (std::size_t from = 0; from < inner; from += kBlock) {
    const std::size_t count = inner - from < kBlock ? inner - from : kBlock;
    ColumnTotals<Column::kDrop, F>(n, inner, count, x + from, nullptr, top, total);
    Logarithms(count, total);
    for (std::size_t i = 0; i < count; i++) log[i] = static_cast<F>(total[i]);
    for (std::size_t r = 0; r < n; r++) {
      const F* row = x + r * inner + from;
      F* to = y + r * inner + from;
      for (std::size_t i = 0; i < count; i++) to[i] = (row[i] - top[i]) - log[i];
    }
  }
}

template <class F>
void LogSumExpColumns(std::size_t n, std::size_t inner, const F* x, F* y) {
  F top[kBlock];
  double total[kBlock];
  for (std::size_t from = 0; from < inner; from += kBlock) {
    const std::size_t count = inner - from < kBlock ? inner - from : kBlock;
    ColumnTotals<Column::kDrop, F>(n, inner, count, x + from, nullptr, top, total);
    Logarithms(count, total);
    for (std::size_t i = 0; i < count; i++) y[from + i] = static_cast<F>(LogSumExp(top[i], total[i]));
  }
}

// Labels may change under the run: each is read once.
WENGERT_INLINE std::int32_t LoadLabel(const std::int32_t* label) { return __atomic_load_n(label, __ATOMIC_RELAXED); }

template <class F>
std::size_t CrossEntropy(std::size_t rows, std::size_t n, const F* z, const std::int32_t* label, F* loss,
                         std::int32_t* bad) {
  F top[kBlock];
  double total[kBlock];
  const std::size_t step = n == 0 ? 1 : RowsOfBlock(rows, n);
  for (std::size_t from = 0; from < rows; from += step) {
    const std::size_t count = rows - from < step ? rows - from : step;
    if (n > 0) {
      RowTotals(count, n, z + from * n, top, total);
      Logarithms(count, total);
    }
    for (std::size_t r = 0; r < count; r++) {
      const std::int32_t own = LoadLabel(label + from + r);
      if (own < 0 || static_cast<std::size_t>(own) >= n) {
        *bad = own;
        return from + r;
      }
      const F x = z[(from + r) * n + static_cast<std::size_t>(own)];
      loss[from + r] = static_cast<F>(LogSumExp(top[r], total[r]) - static_cast<double>(x));
    }
  }
  return rows;
}

template <class F>
std::size_t CrossEntropyGrad(std::size_t rows, std::size_t n, const F* z, const std::int32_t* label, const F* g,
                             std::size_t g_stride, F* dz, F* loss, std::int32_t* bad) {
  double inverse[kBlock];
  double log[kBlock];
  F top[kBlock];
  const std::size_t step = n == 0 ? 1 : RowsOfBlock(rows, n);
  for (std::size_t from = 0; from < rows; from += step) {
    const std::size_t count = rows - from < step ? rows - from : step;
    F* block = dz + from * n;
    if (n > 0) RowExponentials(count, n, z + from * n, block, top);
    for (std::size_t r = 0; r < count; r++) inverse[r] = SumOfRow(n, block + r * n);
    if (loss != nullptr) {
      for (std::size_t r = 0; r < count; r++) log[r] = inverse[r];
      Logarithms(count, log);
    }
    for (std::size_t r = 0; r < count; r++) inverse[r] = 1 / inverse[r];
    for (std::size_t r = 0; r < count; r++) {
      const std::int32_t own = LoadLabel(label + from + r);
      if (own < 0 || static_cast<std::size_t>(own) >= n) {
        *bad = own;
        return from + r;
      }
      F* row = block + r * n;
      const double weight = static_cast<double>(g[(from + r) * g_stride]);
      if (loss != nullptr) {
        const double x = static_cast<double>(z[(from + r) * n + static_cast<std::size_t>(own)]);
        loss[from + r] = static_cast<F>(LogSumExp(top[r], log[r]) - x);
      }
      const double mine = static_cast<double>(row[own]);
      Multiply(n, row, static_cast<F>(weight * inverse[r]));
      row[own] = static_cast<F>(weight * (mine * inverse[r] - 1));
    }
  }
  return rows;
}

template <class F>
constexpr SoftmaxTable<F> kTable = {
    SoftmaxRows<F>,       LogSoftmaxRows<F>,   LogSumExpRows<F>, SoftmaxColumns<F>,
    LogSoftmaxColumns<F>, LogSumExpColumns<F>, CrossEntropy<F>,  CrossEntropyGrad<F>,
};

}  // namespace

const SoftmaxTable<float> kSoftmaxF32 = kTable<float>;
const SoftmaxTable<double> kSoftmaxF64 = kTable<double>;

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
