// Products with a side of one, compiled once for each instruction set: see isa.h. Multiply-adds are fused where the
// instruction set has them, whatever the compiler's flags say; the order of a sum depends on the shape alone.
#include "math.h"

#if defined(__FMA__)
#include <immintrin.h>
#endif

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {

namespace {

// A vector of 32 bytes and the one of its halves.
template <class F>
struct Vector;
template <>
struct Vector<float> {
  typedef float Type __attribute__((vector_size(32)));
  typedef float Four __attribute__((vector_size(16)));
  static constexpr std::size_t kLanes = 8;
};
template <>
struct Vector<double> {
  typedef double Type __attribute__((vector_size(32)));
  typedef double Four __attribute__((vector_size(32)));
  static constexpr std::size_t kLanes = 4;
};

template <class F>
using V = typename Vector<F>::Type;
template <class F>
constexpr std::size_t kLanes = Vector<F>::kLanes;

// Vectors travel by reference: as arguments their passing would depend on the instruction set.
template <class F>
WENGERT_INLINE void LoadV(V<F>& v, const F* x) {
  __builtin_memcpy(&v, x, sizeof(v));
}
template <class F>
WENGERT_INLINE void StoreV(F* x, const V<F>& v) {
  __builtin_memcpy(x, &v, sizeof(v));
}

// s += a · b
#if defined(__FMA__)
WENGERT_INLINE void MultiplyAdd(V<float>& s, const V<float>& a, const V<float>& b) {
  s = (V<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)s);
}
WENGERT_INLINE void MultiplyAdd(V<double>& s, const V<double>& a, const V<double>& b) {
  s = (V<double>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)s);
}
#else
template <class T>
WENGERT_INLINE void MultiplyAdd(T& s, const T& a, const T& b) {
  s += a * b;
}
#endif

// out[r] = the sum of the lanes of v[r], four at once.
WENGERT_INLINE void SumLanes(const V<float>* v, float* out) {
  typedef Vector<float>::Four Four;
  Four h[4];
  for (int r = 0; r < 4; r++) {
    h[r] = __builtin_shufflevector(v[r], v[r], 0, 1, 2, 3) + __builtin_shufflevector(v[r], v[r], 4, 5, 6, 7);
  }
  const Four ab = __builtin_shufflevector(h[0], h[1], 0, 4, 1, 5) + __builtin_shufflevector(h[0], h[1], 2, 6, 3, 7);
  const Four cd = __builtin_shufflevector(h[2], h[3], 0, 4, 1, 5) + __builtin_shufflevector(h[2], h[3], 2, 6, 3, 7);
  const Four s = __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  __builtin_memcpy(out, &s, sizeof(s));
}
WENGERT_INLINE void SumLanes(const V<double>* v, double* out) {
  const V<double> ab =
      __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5) + __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
  const V<double> cd =
      __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5) + __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
  const V<double> s = __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  __builtin_memcpy(out, &s, sizeof(s));
}

template <class F>
WENGERT_INLINE void Put(F* y, F value, F beta) {
  *y = beta == F(0) ? value : value + beta * *y;
}

// s[r] = Σ_p m[r · k + p] · x[p] for four rows.
template <class F>
WENGERT_INLINE void FourDots(std::size_t k, const F* m, const F* x, F* s) {
  constexpr std::size_t L = kLanes<F>;
  std::size_t p = 0;
  if (k >= L) {
    V<F> a[4] = {};
    V<F> b[4] = {};
    V<F> v, w;
    for (; p + 2 * L <= k; p += 2 * L) {
      LoadV<F>(v, x + p);
      for (int r = 0; r < 4; r++) {
        LoadV<F>(w, m + r * k + p);
        MultiplyAdd(a[r], v, w);
      }
      LoadV<F>(v, x + p + L);
      for (int r = 0; r < 4; r++) {
        LoadV<F>(w, m + r * k + p + L);
        MultiplyAdd(b[r], v, w);
      }
    }
    if (p + L <= k) {
      LoadV<F>(v, x + p);
      for (int r = 0; r < 4; r++) {
        LoadV<F>(w, m + r * k + p);
        MultiplyAdd(a[r], v, w);
      }
      p += L;
    }
    for (int r = 0; r < 4; r++) a[r] += b[r];
    SumLanes(a, s);
  } else {
    for (int r = 0; r < 4; r++) s[r] = 0;
  }
  for (; p < k; p++) {
    for (int r = 0; r < 4; r++) s[r] = Fma(m[r * k + p], x[p], s[r]);
  }
}

template <class F>
WENGERT_INLINE F OneDot(std::size_t k, const F* m, const F* x) {
  constexpr std::size_t L = kLanes<F>;
  F s = 0;
  std::size_t p = 0;
  if (k >= L) {
    V<F> a[4] = {};
    V<F> v, w;
    for (; p + 4 * L <= k; p += 4 * L) {
      for (std::size_t j = 0; j < 4; j++) {
        LoadV<F>(v, x + p + j * L);
        LoadV<F>(w, m + p + j * L);
        MultiplyAdd(a[j], v, w);
      }
    }
    for (; p + L <= k; p += L) {
      LoadV<F>(v, x + p);
      LoadV<F>(w, m + p);
      MultiplyAdd(a[0], v, w);
    }
    F t[4];
    SumLanes(a, t);
    s = (t[0] + t[1]) + (t[2] + t[3]);
  }
  for (; p < k; p++) s = Fma(m[p], x[p], s);
  return s;
}

template <class F>
void Dots(std::size_t rows, std::size_t k, F alpha, const F* m, const F* x, F beta, F* y) {
  std::size_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    F s[4];
    FourDots(k, m + i * k, x, s);
    for (std::size_t r = 0; r < 4; r++) Put(y + i + r, alpha * s[r], beta);
  }
  for (; i < rows; i++) Put(y + i, alpha * OneDot(k, m + i * k, x), beta);
}

// `N` vectors of columns of y at once, all rows of m.
template <std::size_t N, class F>
WENGERT_INLINE void ColumnBlock(std::size_t k, std::size_t cols, F alpha, const F* m, const F* x, F beta, F* y) {
  constexpr std::size_t L = kLanes<F>;
  V<F> s[N] = {};
  V<F> w;
  for (std::size_t p = 0; p < k; p++) {
    const V<F> scale = x[p] - V<F>{};
    for (std::size_t j = 0; j < N; j++) {
      LoadV<F>(w, m + p * cols + j * L);
      MultiplyAdd(s[j], scale, w);
    }
  }
  for (std::size_t j = 0; j < N; j++) {
    s[j] *= alpha;
    if (beta != F(0)) {
      LoadV<F>(w, y + j * L);
      s[j] += beta * w;
    }
    StoreV<F>(y + j * L, s[j]);
  }
}

template <class F>
void Axpys(std::size_t k, std::size_t cols, F alpha, const F* m, const F* x, F beta, F* y) {
  constexpr std::size_t L = kLanes<F>;
  std::size_t j = 0;
  for (; j + 8 * L <= cols; j += 8 * L) ColumnBlock<8>(k, cols, alpha, m + j, x, beta, y + j);
  for (; j + 4 * L <= cols; j += 4 * L) ColumnBlock<4>(k, cols, alpha, m + j, x, beta, y + j);
  for (; j + L <= cols; j += L) ColumnBlock<1>(k, cols, alpha, m + j, x, beta, y + j);
  const std::size_t rest = cols - j;
  if (rest == 0) return;
  F s[L] = {};
  for (std::size_t p = 0; p < k; p++) {
    for (std::size_t i = 0; i < rest; i++) s[i] = Fma(x[p], m[p * cols + j + i], s[i]);
  }
  for (std::size_t i = 0; i < rest; i++) Put(y + j + i, alpha * s[i], beta);
}

template <class F>
void Outer(std::size_t rows, std::size_t cols, F alpha, const F* x, const F* y, F beta, F* c) {
  for (std::size_t i = 0; i < rows; i++, c += cols) {
    const F scale = alpha * x[i];
    if (beta == F(1)) {
      WENGERT_IVDEP
      for (std::size_t j = 0; j < cols; j++) c[j] = Fma(scale, y[j], c[j]);
    } else if (beta == F(0)) {
      WENGERT_IVDEP
      for (std::size_t j = 0; j < cols; j++) c[j] = scale * y[j];
    } else {
      WENGERT_IVDEP
      for (std::size_t j = 0; j < cols; j++) c[j] = Fma(scale, y[j], beta * c[j]);
    }
  }
}

template <class F>
constexpr MatmulTable<F> kTable = {Dots<F>, Axpys<F>, Outer<F>};

}  // namespace

const MatmulTable<float> kMatmulF32 = kTable<float>;
const MatmulTable<double> kMatmulF64 = kTable<double>;

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
