// The inner loops of attention, compiled once for each instruction set: see isa.h. Small products whose result stays in registers, and
// rows of a softmax. The order of a sum depends on the shape and the width of vectors alone.
#include "math.h"
#include "vectors_isa.h"

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {

namespace {

template <class F>
using V = typename Vec<F, kWide>::Type;
template <class F>
constexpr std::size_t kLanes = Vec<F, kWide>::kLanes;

// Rows of a product whose sums the registers hold, two vectors each, beside operands.
#if defined(WENGERT_ISA_avx512)
constexpr int kRows = 8;
#elif defined(WENGERT_ISA_avx2)
constexpr int kRows = 6;
#elif defined(__aarch64__)
constexpr int kRows = 4;
#else
constexpr int kRows = 2;
#endif

template <class F, int R, int N>
WENGERT_INLINE void Tile(std::size_t depth, const F* a, std::ptrdiff_t a_row, std::ptrdiff_t a_step, const F* b, std::ptrdiff_t b_row,
                         F* c, std::ptrdiff_t c_row, bool add) {
  constexpr std::size_t L = kLanes<F>;
  V<F> s[R][N] = {};
  for (std::size_t p = 0; p < depth; p++, a += a_step, b += b_row) {
    V<F> v[N];
#pragma GCC unroll 2
    for (int j = 0; j < N; j++) Load(v[j], b + static_cast<std::size_t>(j) * L);
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) {
      const F x = a[i * a_row];
#pragma GCC unroll 2
      for (int j = 0; j < N; j++) MultiplyAdd(s[i][j], x, v[j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; i++, c += c_row) {
#pragma GCC unroll 2
    for (int j = 0; j < N; j++) {
      F* to = c + static_cast<std::size_t>(j) * L;
      if (add) {
        V<F> before;
        Load(before, to);
        s[i][j] += before;
      }
      __builtin_memcpy(to, &s[i][j], sizeof(V<F>));
    }
  }
}

// All rows of N vectors of columns.
template <class F, int N>
void Columns(std::size_t rows, std::size_t depth, const F* a, std::ptrdiff_t a_row, std::ptrdiff_t a_step, const F* b,
             std::ptrdiff_t b_row, F* c, std::ptrdiff_t c_row, bool add) {
  for (; rows >= kRows; rows -= kRows, a += kRows * a_row, c += kRows * c_row) {
    Tile<F, kRows, N>(depth, a, a_row, a_step, b, b_row, c, c_row, add);
  }
  if constexpr (kRows > 4) {
    if (rows >= 4) {
      Tile<F, 4, N>(depth, a, a_row, a_step, b, b_row, c, c_row, add);
      rows -= 4, a += 4 * a_row, c += 4 * c_row;
    }
  }
  for (; rows >= 2; rows -= 2, a += 2 * a_row, c += 2 * c_row) Tile<F, 2, N>(depth, a, a_row, a_step, b, b_row, c, c_row, add);
  if (rows > 0) Tile<F, 1, N>(depth, a, a_row, a_step, b, b_row, c, c_row, add);
}

template <class F>
void Product(std::size_t rows, std::size_t depth, std::size_t columns, const F* a, std::ptrdiff_t a_row, std::ptrdiff_t a_step,
             const F* b, std::ptrdiff_t b_row, F* c, std::ptrdiff_t c_row, bool add) {
  constexpr std::size_t L = kLanes<F>;
  std::size_t j = 0;
  for (; j + 2 * L <= columns; j += 2 * L) Columns<F, 2>(rows, depth, a, a_row, a_step, b + j, b_row, c + j, c_row, add);
  if (j < columns) Columns<F, 1>(rows, depth, a, a_row, a_step, b + j, b_row, c + j, c_row, add);
}

// Squares of four by four, each a vector a row.
template <class F>
void Transpose(std::size_t rows, std::size_t columns, const F* x, std::ptrdiff_t row, F scale, F* to, std::size_t pitch) {
  typedef F Four __attribute__((vector_size(4 * sizeof(F))));
  std::size_t i = 0;
  for (; i + 4 <= rows; i += 4, x += 4 * row, to += 4) {
    std::size_t j = 0;
    for (; j + 4 <= columns; j += 4) {
      Four r[4], t[4];
      for (int k = 0; k < 4; k++) {
        Load(r[k], x + k * row + static_cast<std::ptrdiff_t>(j));
        r[k] *= scale;
      }
      const Four a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
      const Four c = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7), d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
      t[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5), t[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
      t[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5), t[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
      for (std::size_t k = 0; k < 4; k++) __builtin_memcpy(to + (j + k) * pitch, &t[k], sizeof(Four));
    }
    for (; j < columns; j++) {
      for (std::size_t k = 0; k < 4; k++) to[j * pitch + k] = scale * x[static_cast<std::ptrdiff_t>(k) * row + static_cast<std::ptrdiff_t>(j)];
    }
  }
  for (std::size_t j = 0; j < columns; j++) {
    for (std::size_t k = i; k < rows; k++) to[j * pitch + k - i] = scale * x[static_cast<std::ptrdiff_t>(k - i) * row + static_cast<std::ptrdiff_t>(j)];
    for (std::size_t k = rows; k < pitch; k++) to[j * pitch + k - i] = 0;
  }
}

template <class F>
bool Hide(std::size_t n, const std::uint8_t* mask, F* x) {
  const F never = -static_cast<F>(__builtin_inff());
  std::uint8_t any = 0;
  for (std::size_t i = 0; i < n; i++) any = static_cast<std::uint8_t>(any | mask[i]);
  WENGERT_IVDEP
  for (std::size_t i = 0; i < n; i++) x[i] = mask[i] != 0 ? x[i] : never;
  return any != 0;
}

template <class F>
bool Add(std::size_t n, const F* mask, F* x) {
  const F never = -static_cast<F>(__builtin_inff());
  bool any = false;
  for (std::size_t i = 0; i < n; i++) any |= mask[i] != never;
  WENGERT_IVDEP
  for (std::size_t i = 0; i < n; i++) x[i] += mask[i];
  return any;
}

// Sums and largest elements of four rows' vectors at once; NaN is not looked for in the latter.
struct Plus {
  template <class T>
  static WENGERT_INLINE void Join(T& a, const T& b) {
    a += b;
  }
};
struct Largest {
  template <class T>
  static WENGERT_INLINE void Join(T& a, const T& b) {
    a = b > a ? b : a;
  }
};

// The lanes of four vectors joined: out[r] of v[r].
template <class Op, class F>
WENGERT_INLINE void JoinLanes(const V<F>* v, F* out) {
  typedef F Four __attribute__((vector_size(4 * sizeof(F))));
  Four h[4];
  for (int r = 0; r < 4; r++) {
    if constexpr (kLanes<F> == 16) {
      typedef F Eight __attribute__((vector_size(8 * sizeof(F))));
      Eight low = __builtin_shufflevector(v[r], v[r], 0, 1, 2, 3, 4, 5, 6, 7);
      Op::Join(low, __builtin_shufflevector(v[r], v[r], 8, 9, 10, 11, 12, 13, 14, 15));
      h[r] = __builtin_shufflevector(low, low, 0, 1, 2, 3);
      Op::Join(h[r], __builtin_shufflevector(low, low, 4, 5, 6, 7));
    } else if constexpr (kLanes<F> == 8) {
      h[r] = __builtin_shufflevector(v[r], v[r], 0, 1, 2, 3);
      Op::Join(h[r], __builtin_shufflevector(v[r], v[r], 4, 5, 6, 7));
    } else {
      h[r] = v[r];
    }
  }
  Four ab = __builtin_shufflevector(h[0], h[1], 0, 4, 1, 5), cd = __builtin_shufflevector(h[2], h[3], 0, 4, 1, 5);
  Op::Join(ab, __builtin_shufflevector(h[0], h[1], 2, 6, 3, 7));
  Op::Join(cd, __builtin_shufflevector(h[2], h[3], 2, 6, 3, 7));
  Four s = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  Op::Join(s, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
  __builtin_memcpy(out, &s, sizeof(s));
}

// Four rows, or the first again where fewer are left.
template <class F>
WENGERT_INLINE void FourRows(std::size_t left, std::size_t pitch, F* x, F** rows) {
  for (std::size_t r = 0; r < 4; r++) rows[r] = x + (r < left ? r : 0) * pitch;
}

// e^x of x <= 0; below the smallest normal number 0.
WENGERT_INLINE float Down(float x) {
  const bool none = x < -87.0f;
  x = none ? 0.0f : x;
  const float sum = Fma(x, 1.44269504f, kRound32), n = sum - kRound32;
  const float r = Fma(n, 2.12194440e-4f, Fma(n, -0.693359375f, x));
  const float y = (Fma(ExpTail(r), r * r, r) + 1.0f) * PowerOfTwo(sum);
  return none ? 0.0f : y;
}
WENGERT_INLINE double Down(double x) {
  const bool none = x < -708.0;
  x = none ? 0.0 : x;
  const double sum = Fma(x, 1.4426950408889634074, kRound64), n = sum - kRound64;
  const double r = Fma(n, -1.90821492927058770002e-10, Fma(n, -6.93147180369123816490e-1, x));
  const double y = (Fma(ExpTail(r), r * r, r) + 1.0) * PowerOfTwo(sum);
  return none ? 0.0 : y;
}

template <class F>
void Exponentials(std::size_t rows, std::size_t n, std::size_t pitch, F* x, F* inverse) {
  constexpr std::size_t L = kLanes<F>;
  for (std::size_t from = 0; from < rows; from += 4) {
    const std::size_t count = rows - from < 4 ? rows - from : 4;
    F* row[4];
    V<F> joined[4], v;
    F out[4];
    FourRows(count, pitch, x + from * pitch, row);
    for (int r = 0; r < 4; r++) {
      Load(joined[r], row[r]);
      for (std::size_t i = L; i < n; i += L) {
        Load(v, row[r] + i);
        Largest::Join(joined[r], v);
      }
    }
    JoinLanes<Largest, F>(joined, out);
    for (std::size_t r = 0; r < count; r++) {
      F* const to = row[r];
      const F top = out[r];
      WENGERT_IVDEP
      for (std::size_t i = 0; i < n; i++) to[i] = Down(to[i] - top);
    }
    for (int r = 0; r < 4; r++) {
      joined[r] = V<F>{};
      for (std::size_t i = 0; i < n; i += L) {
        Load(v, row[r] + i);
        joined[r] += v;
      }
    }
    JoinLanes<Plus, F>(joined, out);
    for (std::size_t r = 0; r < count; r++) inverse[from + r] = F(1) / out[r];
  }
}

template <class F>
void Scale(std::size_t rows, std::size_t n, std::ptrdiff_t row, F* x, const F* factors) {
  for (std::size_t r = 0; r < rows; r++, x += row) {
    const F factor = factors[r];
    WENGERT_IVDEP
    for (std::size_t i = 0; i < n; i++) x[i] *= factor;
  }
}

template <class F>
void Slopes(std::size_t rows, std::size_t n, std::size_t pitch, F scale, const F* inverse, F* p, F* u) {
  constexpr std::size_t L = kLanes<F>;
  for (std::size_t from = 0; from < rows; from += 4) {
    const std::size_t count = rows - from < 4 ? rows - from : 4;
    F *weights[4], *slopes[4];
    V<F> joined[4], a, b;
    F means[4];
    FourRows(count, pitch, p + from * pitch, weights);
    FourRows(count, pitch, u + from * pitch, slopes);
    for (std::size_t r = 0; r < 4; r++) {
      joined[r] = V<F>{};
      if (r >= count) continue;
      const F factor = inverse[from + r];
      for (std::size_t i = 0; i < n; i += L) {
        Load(a, weights[r] + i);
        Load(b, slopes[r] + i);
        a *= factor;
        joined[r] += a * b;
        __builtin_memcpy(weights[r] + i, &a, sizeof(a));
      }
    }
    JoinLanes<Plus, F>(joined, means);
    for (std::size_t r = 0; r < count; r++) {
      const F mean = means[r];
      for (std::size_t i = 0; i < n; i += L) {
        Load(a, weights[r] + i);
        Load(b, slopes[r] + i);
        b = (a * scale) * (b - mean);
        __builtin_memcpy(slopes[r] + i, &b, sizeof(b));
      }
    }
  }
}

template <class F>
constexpr AttentionTable<F> kTable = {kLanes<F>, Product<F>, Transpose<F>, Hide<F>, Add<F>, Exponentials<F>, Scale<F>, Slopes<F>};

}  // namespace

const AttentionTable<float> kAttentionF32 = kTable<float>;
const AttentionTable<double> kAttentionF64 = kTable<double>;

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
