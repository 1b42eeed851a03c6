// Vectors of an instruction set, for *_isa.cc: width, multiply-add, loads and stores.
#pragma once

#include "isa.h"

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {
namespace {

// Two widths: a whole vector of the instruction set, and half of one where channels are few.
#if defined(WENGERT_ISA_avx512)
constexpr std::size_t kWide = 64;
#else
constexpr std::size_t kWide = 32;
#endif

template <class F, std::size_t bytes>
struct Vec {
  typedef F Type __attribute__((vector_size(bytes)));
  static constexpr std::size_t kLanes = bytes / sizeof(F);
};

// s += a · b. By reference: as arguments the passing of vectors would depend on the instruction set.
template <class F, class V>
WENGERT_INLINE void MultiplyAdd(V& s, const F& a, const V& b) {
#if defined(WENGERT_ISA_avx512)
  if constexpr (sizeof(V) == 64 && sizeof(F) == 4) {
    s = (V)_mm512_fmadd_ps(_mm512_set1_ps(a), (__m512)b, (__m512)s);
    return;
  } else if constexpr (sizeof(V) == 64) {
    s = (V)_mm512_fmadd_pd(_mm512_set1_pd(a), (__m512d)b, (__m512d)s);
    return;
  }
#endif
#if defined(__FMA__)
  if constexpr (sizeof(V) == 32 && sizeof(F) == 4) {
    s = (V)_mm256_fmadd_ps(_mm256_set1_ps(a), (__m256)b, (__m256)s);
    return;
  } else if constexpr (sizeof(V) == 32) {
    s = (V)_mm256_fmadd_pd(_mm256_set1_pd(a), (__m256d)b, (__m256d)s);
    return;
  } else if constexpr (sizeof(V) == 16 && sizeof(F) == 4) {
    s = (V)_mm_fmadd_ps(_mm_set1_ps(a), (__m128)b, (__m128)s);
    return;
  } else if constexpr (sizeof(V) == 16) {
    s = (V)_mm_fmadd_pd(_mm_set1_pd(a), (__m128d)b, (__m128d)s);
    return;
  }
#endif
  s += a * b;
}

template <class V, class F>
WENGERT_INLINE void Load(V& v, const F* x) {
  __builtin_memcpy(&v, x, sizeof(V));
}

// The first `count` elements of a vector. Apart, since it is rare, and a tile has as many places that store as it has vectors.
template <bool add, class F>
[[gnu::noinline]] void StoreFirst(F* y, const F* v, std::size_t count) {
#pragma GCC unroll 1
  for (std::size_t i = 0; i < count; i++) y[i] = add ? y[i] + v[i] : v[i];
}

// `count` of a vector's elements to y; all of them where it has as many.
template <bool add, class V, class F>
WENGERT_INLINE void StoreSome(F* y, const V& v, std::size_t count) {
  constexpr std::size_t L = sizeof(V) / sizeof(F);
  if (count >= L) {
    V sum = v;
    if (add) {
      Load(sum, y);
      sum += v;
    }
    __builtin_memcpy(y, &sum, sizeof(V));
    return;
  }
  F values[L];
  __builtin_memcpy(values, &v, sizeof(V));
  StoreFirst<add>(y, values, count);
}

}  // namespace
}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
