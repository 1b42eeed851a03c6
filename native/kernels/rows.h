// Sums and extremes of a row in vectors, for the *_isa.cc files only. The order of additions is fixed by the length
// alone and is the same for all instruction sets.
#pragma once

#include "isa.h"

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {

// Vectors of 32 bytes travel by reference: as arguments their passing would depend on the instruction set.
template <class F>
struct Lanes;
template <>
struct Lanes<float> {
  typedef float Type __attribute__((vector_size(32)));
  static constexpr std::size_t kCount = 8;
};
template <>
struct Lanes<double> {
  typedef double Type __attribute__((vector_size(32)));
  static constexpr std::size_t kCount = 4;
};
typedef double FourDoubles __attribute__((vector_size(32)));

// Adds four elements.
WENGERT_INLINE void AddFour(FourDoubles& sum, const float* x) {
  typedef float FourFloats __attribute__((vector_size(16)));
  FourFloats v;
  __builtin_memcpy(&v, x, sizeof(v));
  sum += __builtin_convertvector(v, FourDoubles);
}
WENGERT_INLINE void AddFour(FourDoubles& sum, const double* x) {
  FourDoubles v;
  __builtin_memcpy(&v, x, sizeof(v));
  sum += v;
}

template <class F>
WENGERT_INLINE double SumOfRow(std::size_t n, const F* x) {
  FourDoubles s = {};
  std::size_t i = 0;
  if (n >= 16) {
    FourDoubles a = {}, b = {}, c = {};
    for (; i + 16 <= n; i += 16) {
      AddFour(s, x + i);
      AddFour(a, x + i + 4);
      AddFour(b, x + i + 8);
      AddFour(c, x + i + 12);
    }
    s = (s + a) + (b + c);
  }
  for (; i + 4 <= n; i += 4) AddFour(s, x + i);
  double sum = (s[0] + s[2]) + (s[1] + s[3]);
  for (; i < n; i++) sum += static_cast<double>(x[i]);
  return sum;
}

// The greater (sign 1) or the less (sign -1) of best and x; NaN is kept from either side.
template <int sign, class F>
WENGERT_INLINE F Better(F best, F x) {
  return (sign > 0 ? x > best : x < best) || x != x ? x : best;
}
template <int sign, class V>
WENGERT_INLINE void Improve(V& best, const V& x) {
  best = (sign > 0 ? x > best : x < best) | (x != x) ? x : best;
}

// The best of the lanes: halves against halves.
template <int sign>
WENGERT_INLINE float BestLane(Lanes<float>::Type& v) {
  Lanes<float>::Type w = __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7);
  Improve<sign>(v, w);
  w = __builtin_shufflevector(v, v, 2, 3, 2, 3, 2, 3, 2, 3);
  Improve<sign>(v, w);
  return Better<sign>(v[0], v[1]);
}
template <int sign>
WENGERT_INLINE double BestLane(Lanes<double>::Type& v) {
  const Lanes<double>::Type w = __builtin_shufflevector(v, v, 2, 3, 2, 3);
  Improve<sign>(v, w);
  return Better<sign>(v[0], v[1]);
}

// n >= 1
template <int sign, class F>
WENGERT_INLINE F ExtremeOfRow(std::size_t n, const F* x) {
  using V = typename Lanes<F>::Type;
  constexpr std::size_t L = Lanes<F>::kCount;
  if (n >= L) {
    V a, b, v;
    __builtin_memcpy(&a, x, sizeof(V));
    b = a;
    std::size_t i = L;
    for (; i + 2 * L <= n; i += 2 * L) {
      __builtin_memcpy(&v, x + i, sizeof(V));
      Improve<sign>(a, v);
      __builtin_memcpy(&v, x + i + L, sizeof(V));
      Improve<sign>(b, v);
    }
    Improve<sign>(a, b);
    if (i + L <= n) {
      __builtin_memcpy(&v, x + i, sizeof(V));
      Improve<sign>(a, v);
    }
    // What is left over is read with what precedes it: a second look changes nothing.
    __builtin_memcpy(&v, x + n - L, sizeof(V));
    Improve<sign>(a, v);
    return BestLane<sign>(a);
  }
  F best = x[0];
  for (std::size_t i = 1; i < n; i++) best = Better<sign>(best, x[i]);
  return best;
}

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
