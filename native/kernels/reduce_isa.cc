// Sums, maxima and minima in vectors, compiled once for each instruction set: see isa.h. The order of additions is fixed
// by the shape alone and is the same for all of them.
#include "isa.h"

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {

namespace {

// Running results of columns are kept on the stack, so many at a time.
constexpr std::size_t kColumns = 256;

typedef double V8d __attribute__((vector_size(64)));

// Adds eight elements. (By reference: a vector of this width as an argument would depend on the instruction set.)
WENGERT_INLINE void AddTo(V8d& sum, const float* x) {
  typedef float V8f __attribute__((vector_size(32)));
  V8f v;
  __builtin_memcpy(&v, x, sizeof(v));
  sum += __builtin_convertvector(v, V8d);
}
WENGERT_INLINE void AddTo(V8d& sum, const double* x) {
  V8d v;
  __builtin_memcpy(&v, x, sizeof(v));
  sum += v;
}

template <class F>
double SumRow(std::size_t n, const F* x) {
  double sum = 0;
  std::size_t i = 0;
  if (n >= 16) {
    V8d a = {};
    V8d b = {};
    for (; i + 16 <= n; i += 16) {
      AddTo(a, x + i);
      AddTo(b, x + i + 8);
    }
    a += b;
    sum = ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
  }
  for (; i < n; i++) sum += static_cast<double>(x[i]);
  return sum;
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

// The greater (sign 1) or the less (sign -1) of best and x; NaN is kept from either side.
template <int sign, class F>
WENGERT_INLINE F Better(F best, F x) {
  return (sign > 0 ? x > best : x < best) || x != x ? x : best;
}

template <int sign, class F>
F ExtremeRow(std::size_t n, const F* x) {
  F best = x[0];
  std::size_t i = 1;
  if (n >= 32) {
    F lane[16];
    for (std::size_t j = 0; j < 16; j++) lane[j] = x[j];
    for (i = 16; i + 16 <= n; i += 16) {
      for (std::size_t j = 0; j < 16; j++) lane[j] = Better<sign>(lane[j], x[i + j]);
    }
    for (std::size_t j = 0; j < 16; j++) best = Better<sign>(best, lane[j]);
  }
  for (; i < n; i++) best = Better<sign>(best, x[i]);
  return best;
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
    SumRow<F>,           SumColumns<F>,         ExtremeRow<1, F>,
    ExtremeRow<-1, F>, ExtremeColumns<1, F>, ExtremeColumns<-1, F>,
};

}  // namespace

const ReduceTable<float> kReduceF32 = kTable<float>;
const ReduceTable<double> kReduceF64 = kTable<double>;

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
