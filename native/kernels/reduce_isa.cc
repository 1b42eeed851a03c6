// Sums, maxima and minima, compiled once for each instruction set: see isa.h. The order of additions is fixed by the
// shape alone and is the same for all of them.
#include "rows.h"

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {

namespace {

// Running results of columns are kept on the stack, so many at a time.
constexpr std::size_t kColumns = 256;

template <class F>
double SumRow(std::size_t n, const F* x) {
  return SumOfRow(n, x);
}

template <class F>
void SumColumns(std::size_t n, std::size_t inner, const F* x, F* out) {
  double sum[kColumns];
  for (std::size_t from = 0; from < inner; from += kColumns) {
    const std::size_t count = inner - from < kColumns ? inner - from : kColumns;
    for (std::size_t i = 0; i < count; i++) sum[i] = 0;
    const F* row = x + from;
    std::size_t r = 0;
    for (; r + 4 <= n; r += 4, row += 4 * inner) {
      const F* row1 = row + inner;
      const F* row2 = row1 + inner;
      const F* row3 = row2 + inner;
      for (std::size_t i = 0; i < count; i++) {
        sum[i] += (static_cast<double>(row[i]) + static_cast<double>(row1[i])) +
                  (static_cast<double>(row2[i]) + static_cast<double>(row3[i]));
      }
    }
    for (; r < n; r++, row += inner) {
      for (std::size_t i = 0; i < count; i++) sum[i] += static_cast<double>(row[i]);
    }
    for (std::size_t i = 0; i < count; i++) out[from + i] = static_cast<F>(sum[i]);
  }
}

template <int sign, class F>
F ExtremeRow(std::size_t n, const F* x) {
  return ExtremeOfRow<sign>(n, x);
}

template <int sign, class F>
void ExtremeColumns(std::size_t n, std::size_t inner, const F* x, F* out) {
  for (std::size_t i = 0; i < inner; i++) out[i] = x[i];
  for (std::size_t r = 1; r < n; r++) {
    const F* row = x + r * inner;
    WENGERT_IVDEP
    for (std::size_t i = 0; i < inner; i++) out[i] = Better<sign>(out[i], row[i]);
  }
}

template <class F>
constexpr ReduceTable<F> kTable = {
    SumRow<F>, SumColumns<F>, ExtremeRow<1, F>, ExtremeRow<-1, F>, ExtremeColumns<1, F>, ExtremeColumns<-1, F>,
};

}  // namespace

const ReduceTable<float> kReduceF32 = kTable<float>;
const ReduceTable<double> kReduceF64 = kTable<double>;

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
