// The inner loops of convolution's transposes where a gradient stands at the largest cell of each window alone, compiled once
// for each instruction set: see isa.h. A product is skipped wherever its factor is 0; vectors run over the channels of the
// image, where they follow each other in memory.
#include "vectors_isa.h"

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {

namespace {

template <class F>
using Table = PooledTable<F>;
template <class F>
using Place = typename Table<F>::Place;

template <class F>
using V = typename Vec<F, kWide>::Type;
template <class F>
constexpr std::size_t kLanes = Vec<F, kWide>::kLanes;

// Vectors of three runs that the registers hold beside operands.
#if defined(WENGERT_ISA_avx512)
constexpr int kVectors = 8;
#elif defined(WENGERT_ISA_avx2)
constexpr int kVectors = 4;
#else
constexpr int kVectors = 2;
#endif

template <class F>
void Places(const typename Table<F>::Row& row, const Place<F>* marks, const F* y, const F* g, std::size_t width, Place<F>* places) {
  typedef F Values __attribute__((vector_size(32)));
  typedef Place<F> Marks __attribute__((vector_size(32)));
  constexpr std::size_t L = 32 / sizeof(F);
  for (std::size_t i = 0; i < row.windows; i++, y += row.step, g += row.stride, places += width) {
    std::size_t c = 0;
    for (; c + L <= row.channels; c += L) {
      Values best, v;
      Load(best, y + row.cells[0] + c);
      Marks place = Marks{} + marks[0];
      for (std::size_t k = 1; k < row.count; k++) {
        Load(v, y + row.cells[k] + c);
        const Marks better = (v > best) | (v != v);
        best = better ? v : best;
        place = better ? Marks{} + marks[k] : place;
      }
      Load(v, g + c);
      place = v == Values{} ? Marks{} - 1 : place;
      __builtin_memcpy(places + c, &place, sizeof(place));
    }
    for (; c < row.channels; c++) {
      std::size_t place = 0;
      for (std::size_t k = 1; k < row.count; k++) {
        const F v = y[row.cells[k] + static_cast<std::ptrdiff_t>(c)];
        if (v > y[row.cells[place] + static_cast<std::ptrdiff_t>(c)] || v != v) place = k;
      }
      places[c] = g[c] == 0 ? -1 : marks[place];
    }
  }
}

// Bit i: whether place i of 64 is k.
template <class P>
WENGERT_INLINE std::uint64_t Word(const P* places, P k) {
  std::uint64_t word = 0;
#if defined(WENGERT_ISA_avx512)
  if constexpr (sizeof(P) == 4) {
    for (int i = 0; i < 4; i++) {
      const __m512i v = _mm512_loadu_si512(places + 16 * i);
      word |= static_cast<std::uint64_t>(_mm512_cmpeq_epi32_mask(v, _mm512_set1_epi32(k))) << (16 * i);
    }
  } else {
    for (int i = 0; i < 8; i++) {
      const __m512i v = _mm512_loadu_si512(places + 8 * i);
      word |= static_cast<std::uint64_t>(_mm512_cmpeq_epi64_mask(v, _mm512_set1_epi64(k))) << (8 * i);
    }
  }
#elif defined(WENGERT_ISA_avx2)
  if constexpr (sizeof(P) == 4) {
    for (int i = 0; i < 8; i++) {
      const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(places + 8 * i));
      const __m256 same = _mm256_castsi256_ps(_mm256_cmpeq_epi32(v, _mm256_set1_epi32(k)));
      word |= static_cast<std::uint64_t>(static_cast<unsigned>(_mm256_movemask_ps(same))) << (8 * i);
    }
  } else {
    for (int i = 0; i < 16; i++) {
      const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(places + 4 * i));
      const __m256d same = _mm256_castsi256_pd(_mm256_cmpeq_epi64(v, _mm256_set1_epi64x(k)));
      word |= static_cast<std::uint64_t>(static_cast<unsigned>(_mm256_movemask_pd(same))) << (4 * i);
    }
  }
#else
  for (int i = 0; i < 64; i++) word |= static_cast<std::uint64_t>(places[i] == k) << i;
#endif
  return word;
}

template <class P>
void Bits(std::size_t windows, std::size_t count, std::size_t words, const P* places, std::uint64_t* bits) {
  for (std::size_t i = 0; i < windows; i++, places += 64 * words) {
    for (std::size_t k = 0; k < count; k++) {
      for (std::size_t j = 0; j < words; j++) *bits++ = Word(places + 64 * j, static_cast<P>(k));
    }
  }
}

// Where vector j of a run begins.
template <class F, int NV>
WENGERT_INLINE std::ptrdiff_t At(int j, std::ptrdiff_t last) {
  return j < NV - 1 ? j * static_cast<std::ptrdiff_t>(kLanes<F>) : last;
}

template <class F, int R, int NV>
void Gather(std::size_t count, const typename Table<F>::Entry* entries, const F* x, const typename Table<F>::Runs& runs, F* sums) {
  constexpr std::size_t L = kLanes<F>;
  V<F> s[R][NV];
  std::ptrdiff_t from[R];
  const std::ptrdiff_t last = runs.last;
#pragma GCC unroll 3
  for (int r = 0; r < R; r++) {
    from[r] = runs.from[r];
#pragma GCC unroll 8
    for (int j = 0; j < NV; j++) Load(s[r][j], sums + (r * NV + j) * L);
  }
  for (std::size_t i = 0; i < count; i++) {
    const F* at = x + entries[i].offset;
    const F g = entries[i].g;
#pragma GCC unroll 3
    for (int r = 0; r < R; r++) {
      const F* a = at + from[r];
#pragma GCC unroll 8
      for (int j = 0; j < NV; j++) {
        V<F> b;
        Load(b, a + At<F, NV>(j, last));
        MultiplyAdd(s[r][j], g, b);
      }
    }
  }
#pragma GCC unroll 3
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; j++) __builtin_memcpy(sums + (r * NV + j) * L, &s[r][j], sizeof(V<F>));
  }
}

template <class F, int R, int NV>
void Scatter(const typename Table<F>::Row& row, const std::uint64_t* bits, std::size_t words, const F* g, const F* w,
             const typename Table<F>::Runs& runs, F* x) {
  constexpr std::size_t L = kLanes<F>;
  std::ptrdiff_t from[R];
  const std::ptrdiff_t last = runs.last;
#pragma GCC unroll 3
  for (int r = 0; r < R; r++) from[r] = runs.from[r];
  for (std::size_t i = 0; i < row.windows; i++, x += row.step, g += row.stride) {
    for (std::size_t k = 0; k < row.count; k++, bits += words) {
      std::uint64_t any = 0;
      for (std::size_t j = 0; j < words; j++) any |= bits[j];
      if (any == 0) continue;
      F* out = x + row.cells[k];
      V<F> s[R][NV];
#pragma GCC unroll 3
      for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
        for (int j = 0; j < NV; j++) Load(s[r][j], out + from[r] + At<F, NV>(j, last));
      }
      for (std::size_t word = 0; word < words; word++) {
        for (std::uint64_t left = bits[word]; left != 0; left &= left - 1) {
          const std::size_t c = 64 * word + static_cast<std::size_t>(__builtin_ctzll(left));
          const F slope = g[c];
          const F* b = w + c * (R * NV * L);
#pragma GCC unroll 3
          for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
            for (int j = 0; j < NV; j++) {
              V<F> v;
              Load(v, b + (r * NV + j) * L);
              MultiplyAdd(s[r][j], slope, v);
            }
          }
        }
      }
      // From the last to the first: where two lie over each other, the first holds the sum.
#pragma GCC unroll 3
      for (int r = R - 1; r >= 0; r--) {
#pragma GCC unroll 8
        for (int j = NV - 1; j >= 0; j--) __builtin_memcpy(out + from[r] + At<F, NV>(j, last), &s[r][j], sizeof(V<F>));
      }
    }
  }
}

// The loops for 1 … kVectors vectors; none beyond.
template <class F, int R, int NV>
constexpr typename Table<F>::Gather GatherOf() {
  if constexpr (NV <= kVectors) return Gather<F, R, NV>;
  return nullptr;
}
template <class F, int R, int NV>
constexpr typename Table<F>::Scatter ScatterOf() {
  if constexpr (NV <= kVectors) return Scatter<F, R, NV>;
  return nullptr;
}

#define WENGERT_WIDTHS(Of, R) {Of<F, R, 1>(), Of<F, R, 2>(), Of<F, R, 3>(), Of<F, R, 4>(), Of<F, R, 5>(), Of<F, R, 6>(), Of<F, R, 7>(), Of<F, R, 8>()}

template <class F>
constexpr Table<F> kTable = {
    kLanes<F>,
    kVectors,
    Places<F>,
    Bits<Place<F>>,
    {WENGERT_WIDTHS(GatherOf, 1), WENGERT_WIDTHS(GatherOf, 3)},
    {WENGERT_WIDTHS(ScatterOf, 1), WENGERT_WIDTHS(ScatterOf, 3)},
};

}  // namespace

const PooledTable<float> kPooledF32 = kTable<float>;
const PooledTable<double> kPooledF64 = kTable<double>;

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
