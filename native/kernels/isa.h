// One source, several instruction sets. Files named *_isa.cc are compiled once for each with WENGERT_ISA_baseline,
// WENGERT_ISA_avx2 or WENGERT_ISA_avx512 defined; each fills the tables of its own namespace and uses no inline
// function of the standard library (the linker may keep an AVX2 copy of one for everybody). The others pick a table
// with WENGERT_SELECT.
//
// To add a table: a struct and one line of WENGERT_DECLARE here, its definition in a *_isa.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "elementwise_ops.h"

#if defined(WENGERT_ISA_avx512)
#define WENGERT_ISA_NAMESPACE isa_avx512
#elif defined(WENGERT_ISA_avx2)
#define WENGERT_ISA_NAMESPACE isa_avx2
#else
#define WENGERT_ISA_NAMESPACE isa_baseline
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define WENGERT_HAS_X86_ISAS 1
#endif

// The loop that follows carries no dependence from element to element; outputs may be exactly an input's memory.
#if defined(__clang__)
#define WENGERT_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define WENGERT_IVDEP _Pragma("GCC ivdep")
#endif
#define WENGERT_INLINE inline __attribute__((always_inline))

namespace wengert {

// Loops of the elementwise kernel over n contiguous elements; dst may be exactly any operand. Unused operands are valid
// pointers that are not read. load and store go by Dtype.
template <class F>
struct ElementwiseTable {
  using Map = void (*)(std::size_t n, F* dst, const F* a, const F* b, const F* c);
  using Load = void (*)(std::size_t n, F* dst, const void* src);
  using Store = void (*)(std::size_t n, void* dst, const F* src);
  Map map[kElementwiseOps];
  Load load[4];
  Store store[4];
  void (*fill)(std::size_t n, F* dst, F value);
  // dst[r, c] = column[r]
  void (*spread)(std::size_t rows, std::size_t cols, F* dst, const F* column);
};

struct LineOp;  // line.h
constexpr std::size_t kLineOps = kElementwiseOps + 11;

// An operation of a line and the result of the one before it.
template <class F>
using TypedRun = const LineOp* (*)(const LineOp* op, F passed);

// Operations of both element types are kept as this one, and called as what they are.
using LineRun = TypedRun<float>;

// A run as one of another element type; by way of a function of no type, which tells the compiler that it is meant.
template <class To, class From>
WENGERT_INLINE To RecastRun(From run) {
  return reinterpret_cast<To>(reinterpret_cast<void (*)()>(run));
}

// The operations of lines, by Passed and LineCode.
template <class F>
struct LineTable {
  TypedRun<F> run[3][kLineOps];
};

// Products with a side of one, row-major throughout. beta = 0 never reads y or c.
template <class F>
struct MatmulTable {
  // y[rows] = alpha · m[rows, k] · x[k] + beta · y
  void (*dots)(std::size_t rows, std::size_t k, F alpha, const F* m, const F* x, F beta, F* y);
  // y[cols] = alpha · x[k] · m[k, cols] + beta · y
  void (*axpys)(std::size_t k, std::size_t cols, F alpha, const F* m, const F* x, F beta, F* y);
  // c[rows, cols] = alpha · x[rows] · y[cols] + beta · c
  void (*outer)(std::size_t rows, std::size_t cols, F alpha, const F* x, const F* y, F beta, F* c);
};

// Reductions of x[n] (rows) and of x[n, inner] over its first axis (columns); sums and products in double.
template <class F>
struct ReduceTable {
  double (*sum_row)(std::size_t n, const F* x);
  void (*sum_columns)(std::size_t n, std::size_t inner, const F* x, F* out);
  F (*max_row)(std::size_t n, const F* x);
  F (*min_row)(std::size_t n, const F* x);
  void (*max_columns)(std::size_t n, std::size_t inner, const F* x, F* out);
  void (*min_columns)(std::size_t n, std::size_t inner, const F* x, F* out);
};

// Softmax and its kin, over the rows of x[rows, n] or over the first axis of x[n, inner].
template <class F>
struct SoftmaxTable {
  void (*softmax_rows)(std::size_t rows, std::size_t n, const F* x, F* y);
  void (*log_softmax_rows)(std::size_t rows, std::size_t n, const F* x, F* y);
  void (*log_sum_exp_rows)(std::size_t rows, std::size_t n, const F* x, F* y);
  void (*softmax_columns)(std::size_t n, std::size_t inner, const F* x, F* y);
  void (*log_softmax_columns)(std::size_t n, std::size_t inner, const F* x, F* y);
  void (*log_sum_exp_columns)(std::size_t n, std::size_t inner, const F* x, F* y);
  // Return the first row whose label is outside 0 … n − 1 (and that label), or `rows`.
  std::size_t (*cross_entropy)(std::size_t rows, std::size_t n, const F* z, const std::int32_t* label, F* loss,
                               std::int32_t* bad);
  // `loss` may be null.
  std::size_t (*cross_entropy_grad)(std::size_t rows, std::size_t n, const F* z, const std::int32_t* label, const F* g,
                                    std::size_t g_stride, F* dz, F* loss, std::int32_t* bad);
};

// Cells of a window that lie one after the other in memory: where the first is, from a window's corner, and how many elements.
struct ConvTap {
  std::ptrdiff_t offset;
  std::size_t length;
};

// The positions over which a weight's gradient is summed: rows of columns, x and g stepping through them.
template <class F>
struct ConvOuter {
  std::size_t rows, columns;
  const F* x;
  std::ptrdiff_t x_row, x_step, g_row, g_step;
  std::ptrdiff_t w_step;  // between elements' rows of w
};

// A row of windows of pooling, all cells of which are on the image: where the cells are from a window's corner, in order.
struct PoolRow {
  std::size_t windows;
  const std::ptrdiff_t* cells;
  std::size_t count;
  std::ptrdiff_t step;  // from window to window of the image
  std::size_t channels;
};

// Loops of convolution by the width of a panel of channels (in `panel`, growing), and of pooling.
template <class F>
struct ConvTable {
  static constexpr int kWidths = 3;
  using Row = void (*)(std::size_t positions, const ConvTap* taps, std::size_t count, const F* x, std::ptrdiff_t x_step,
                       const F* w, F* y, std::ptrdiff_t y_step, std::size_t channels);
  using Outer = void (*)(std::size_t elements, const ConvOuter<F>& s, const std::ptrdiff_t* offsets, const F* g, F* w,
                         std::size_t channels);
  std::size_t panel[kWidths];
  // y[positions, channels] = the taps' elements of x by the panel w[elements, panel]
  Row row[kWidths];
  // w[elements, channels] += x at `offsets` by g[…, panel], over all positions
  Outer outer[kWidths];
  // y[n] += a[n] · b[n]
  void (*add_products)(std::size_t n, F* y, const F* a, const F* b);
  // y[windows, channels] = the largest of each window of x; t, or out += g, where it stands
  void (*max_row)(const PoolRow& row, const F* x, F* y);
  void (*take_row)(const PoolRow& row, const F* t, const F* x, F* y);
  void (*put_row)(const PoolRow& row, const F* g, const F* x, F* out);
};

// Where gradients of windows lie that carry one at their largest cell alone: one number a window and channel.
template <class F>
struct PooledTable {
  // A whole number as wide as F.
  using Place = std::conditional_t<sizeof(F) == 4, std::int32_t, std::int64_t>;
  struct Entry {
    Place offset;
    F g;
  };
  // A row of windows: `count` cells each, `cells` from a window's corner, `step` from window to window; `stride` elements from
  // position to position.
  struct Row {
    std::size_t windows, count;
    const std::ptrdiff_t* cells;
    std::ptrdiff_t step, stride;
    std::size_t channels;
  };
  // Runs of elements that are added together: `runs` of them, at `from`, each of some whole vectors, the last of which is at
  // `last` and may lie over the one before.
  struct Runs {
    const std::ptrdiff_t* from;
    std::ptrdiff_t last;
  };
  static constexpr int kMost = 8;
  std::size_t lanes;  // elements of a vector
  int most;           // vectors of a run
  // places[windows, width] = marks[the largest cell of y], −1 where g is 0
  void (*places)(const Row& row, const Place* marks, const F* y, const F* g, std::size_t width, Place* places);
  // bits[windows, count, words]: the channels whose place is the cell
  void (*bits)(std::size_t windows, std::size_t count, std::size_t words, const Place* places, std::uint64_t* bits);
  // sums[runs] += Σ g · x[offset + runs] over the entries; of one run or three, by vectors
  using Gather = void (*)(std::size_t count, const Entry* entries, const F* x, const Runs& runs, F* sums);
  Gather gather[2][kMost];
  // x[cell + runs] += Σ g · w[channel, runs] over the channels in bits, for every cell of a row
  using Scatter = void (*)(const Row& row, const std::uint64_t* bits, std::size_t words, const F* g, const F* w, const Runs& runs, F* x);
  Scatter scatter[2][kMost];
};

// What attention is made of. Rows of numbers that loops run along are padded to whole vectors (`lanes`).
template <class F>
struct AttentionTable {
  std::size_t lanes;
  // c[rows, columns] = a[rows, depth] · b[depth, columns], added to c where asked; a's elements lie anywhere, b's and c's rows together.
  // Columns are whole vectors.
  void (*product)(std::size_t rows, std::size_t depth, std::size_t columns, const F* a, std::ptrdiff_t a_row, std::ptrdiff_t a_step,
                  const F* b, std::ptrdiff_t b_row, F* c, std::ptrdiff_t c_row, bool add);
  // to[columns, pitch] = scale · x[rows, columns]ᵀ, 0 behind the rows
  void (*transpose)(std::size_t rows, std::size_t columns, const F* x, std::ptrdiff_t row, F scale, F* to, std::size_t pitch);
  // x = −∞ where mask is 0; whether it is not everywhere. x += mask; whether that is not −∞ everywhere.
  bool (*hide)(std::size_t n, const std::uint8_t* mask, F* x);
  bool (*add)(std::size_t n, const F* mask, F* x);
  // Rows of n numbers in whole vectors, `pitch` apart: x = e^(x − max x), and 1 over the sum of each
  void (*exponentials)(std::size_t rows, std::size_t n, std::size_t pitch, F* x, F* inverse);
  // x[rows, n] = factors[rows] · x, rows `row` apart
  void (*scale)(std::size_t rows, std::size_t n, std::ptrdiff_t row, F* x, const F* factors);
  // As `exponentials`: p = inverse · p; u = scale · p · (u − Σ p u)
  void (*slopes)(std::size_t rows, std::size_t n, std::size_t pitch, F scale, const F* inverse, F* p, F* u);
};

#define WENGERT_DECLARE(ns)                              \
  namespace ns {                                         \
  extern const ElementwiseTable<float> kElementwiseF32;  \
  extern const ElementwiseTable<double> kElementwiseF64; \
  extern const LineTable<float> kLineF32;                \
  extern const LineTable<double> kLineF64;               \
  extern const MatmulTable<float> kMatmulF32;            \
  extern const MatmulTable<double> kMatmulF64;           \
  extern const ReduceTable<float> kReduceF32;            \
  extern const ReduceTable<double> kReduceF64;           \
  extern const SoftmaxTable<float> kSoftmaxF32;          \
  extern const SoftmaxTable<double> kSoftmaxF64;         \
  extern const ConvTable<float> kConvF32;                \
  extern const ConvTable<double> kConvF64;               \
  extern const PooledTable<float> kPooledF32;            \
  extern const PooledTable<double> kPooledF64;           \
  extern const AttentionTable<float> kAttentionF32;      \
  extern const AttentionTable<double> kAttentionF64;     \
  }
WENGERT_DECLARE(isa_baseline)
#if WENGERT_HAS_X86_ISAS
WENGERT_DECLARE(isa_avx2)
WENGERT_DECLARE(isa_avx512)
#endif

enum class Isa { kBaseline, kAvx2, kAvx512 };

// The best that this processor has; the environment's WENGERT_ISA (baseline, avx2, avx512) may name a lesser one.
Isa ActiveIsa();
const char* IsaName(Isa isa);

#if WENGERT_HAS_X86_ISAS
#define WENGERT_SELECT(table)                                                       \
  (::wengert::ActiveIsa() == ::wengert::Isa::kAvx512 ? ::wengert::isa_avx512::table \
   : ::wengert::ActiveIsa() == ::wengert::Isa::kAvx2 ? ::wengert::isa_avx2::table   \
                                                     : ::wengert::isa_baseline::table)
#else
#define WENGERT_SELECT(table) (::wengert::isa_baseline::table)
#endif

// The table of F: WENGERT_TABLE(Reduce, F).
#define WENGERT_TABLE(room, F) (::wengert::Choose<F>(WENGERT_SELECT(k##room##F32), WENGERT_SELECT(k##room##F64)))

template <class F, class A, class B>
const auto& Choose(const A& f32, const B& f64) {
  if constexpr (sizeof(F) == 4) {
    static_cast<void>(f64);
    return f32;
  } else {
    static_cast<void>(f32);
    return f64;
  }
}

}  // namespace wengert
