// The inner loops of convolution, compiled once for each instruction set: see isa.h.
//
// Both are small products whose first operand is read where it lies, element by element, and whose second is read in
// vectors over channels. A sum runs over cells and channels in their order, with fused multiply-adds: its bits depend
// neither on how work is cut nor on the width of a vector.
#include "vectors_isa.h"

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {

namespace {

// y[r, :] = Σ over taps and their elements k of x[r, k] · w[k, :], for MR positions and NV vectors of channels.
template <class F, std::size_t bytes, int NV, int MR>
void Tile(const ConvTap* taps, std::size_t count, const F* x, std::ptrdiff_t x_step, const F* w, F* y,
          std::ptrdiff_t y_step, std::size_t channels) {
  using V = typename Vec<F, bytes>::Type;
  constexpr std::size_t L = Vec<F, bytes>::kLanes;
  V s[MR][NV] = {};
  for (std::size_t t = 0; t < count; t++) {
    const F* a = x + taps[t].offset;
    const std::size_t length = taps[t].length;
    for (std::size_t k = 0; k < length; k++, w += NV * L) {
      V b[NV];
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) Load(b[j], w + j * L);
#pragma GCC unroll 16
      for (int r = 0; r < MR; r++) {
        const F scale = a[r * x_step + static_cast<std::ptrdiff_t>(k)];
#pragma GCC unroll 4
        for (int j = 0; j < NV; j++) MultiplyAdd(s[r][j], scale, b[j]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < MR; r++) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) {
      if (channels > j * L) StoreSome<false>(y + r * y_step + j * static_cast<std::ptrdiff_t>(L), s[r][j], channels - j * L);
    }
  }
}

// Rows of the tile by their number: the most accumulators that the registers hold beside operands.
#if defined(WENGERT_ISA_avx512)
template <int NV>
constexpr int kRows = NV == 1 ? 14 : 12;
#else
template <int NV>
constexpr int kRows = NV == 1 ? 12 : 6;
#endif

template <class F, std::size_t bytes, int NV, int MR>
void TileOf(int rows, const ConvTap* taps, std::size_t count, const F* x, std::ptrdiff_t x_step, const F* w, F* y,
            std::ptrdiff_t y_step, std::size_t channels) {
  if (rows == MR) {
    Tile<F, bytes, NV, MR>(taps, count, x, x_step, w, y, y_step, channels);
  } else if constexpr (MR > 1) {
    TileOf<F, bytes, NV, MR - 1>(rows, taps, count, x, x_step, w, y, y_step, channels);
  }
}

// A row of positions: tiles of nearly equal height.
template <class F, std::size_t bytes, int NV>
void Row(std::size_t positions, const ConvTap* taps, std::size_t count, const F* x, std::ptrdiff_t x_step, const F* w,
         F* y, std::ptrdiff_t y_step, std::size_t channels) {
  const std::size_t tiles = (positions + kRows<NV> - 1) / kRows<NV>;
  std::size_t at = 0;
  for (std::size_t i = 0; i < tiles; i++) {
    const std::size_t next = positions * (i + 1) / tiles;
    TileOf<F, bytes, NV, kRows<NV>>(static_cast<int>(next - at), taps, count, x + static_cast<std::ptrdiff_t>(at) * x_step,
                                x_step, w, y + static_cast<std::ptrdiff_t>(at) * y_step, y_step, channels);
    at = next;
  }
}

// w[r, :] += Σ over rows i and positions j of x[i, j, offsets[r]] · g[i, j, :], for MR elements and NV vectors.
template <class F, std::size_t bytes, int NV, int MR>
void OuterTile(const ConvOuter<F>& s, const std::ptrdiff_t* offsets, const F* g, F* w, std::size_t channels) {
  using V = typename Vec<F, bytes>::Type;
  constexpr std::size_t L = Vec<F, bytes>::kLanes;
  std::ptrdiff_t at[MR];
#pragma GCC unroll 16
  for (int r = 0; r < MR; r++) at[r] = offsets[r];
  V sum[MR][NV] = {};
  for (std::size_t i = 0; i < s.rows; i++) {
    const F* a = s.x + static_cast<std::ptrdiff_t>(i) * s.x_row;
    const F* b = g + static_cast<std::ptrdiff_t>(i) * s.g_row;
    for (std::size_t j = 0; j < s.columns; j++, a += s.x_step, b += s.g_step) {
      V v[NV];
#pragma GCC unroll 4
      for (int k = 0; k < NV; k++) Load(v[k], b + k * L);
#pragma GCC unroll 16
      for (int r = 0; r < MR; r++) {
        const F scale = a[at[r]];
#pragma GCC unroll 4
        for (int k = 0; k < NV; k++) MultiplyAdd(sum[r][k], scale, v[k]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < MR; r++) {
#pragma GCC unroll 4
    for (int k = 0; k < NV; k++) {
      if (channels > k * L) StoreSome<true>(w + r * s.w_step + k * static_cast<std::ptrdiff_t>(L), sum[r][k], channels - k * L);
    }
  }
}

template <class F, std::size_t bytes, int NV, int MR>
void OuterOf(int rows, const ConvOuter<F>& s, const std::ptrdiff_t* offsets, const F* g, F* w, std::size_t channels) {
  if (rows == MR) {
    OuterTile<F, bytes, NV, MR>(s, offsets, g, w, channels);
  } else if constexpr (MR > 1) {
    OuterOf<F, bytes, NV, MR - 1>(rows, s, offsets, g, w, channels);
  }
}

template <class F, std::size_t bytes, int NV>
void Outer(std::size_t elements, const ConvOuter<F>& s, const std::ptrdiff_t* offsets, const F* g, F* w,
           std::size_t channels) {
  const std::size_t tiles = (elements + kRows<NV> - 1) / kRows<NV>;
  std::size_t at = 0;
  for (std::size_t i = 0; i < tiles; i++) {
    const std::size_t next = elements * (i + 1) / tiles;
    OuterOf<F, bytes, NV, kRows<NV>>(static_cast<int>(next - at), s, offsets + at, g,
                                 w + static_cast<std::ptrdiff_t>(at) * s.w_step, channels);
    at = next;
  }
}

// y[i] = s[i] + a[i] · b[i]: a cell of a depthwise convolution.
template <class F>
void AddProducts(std::size_t n, F* y, const F* a, const F* b) {
  WENGERT_IVDEP
  for (std::size_t i = 0; i < n; i++) {
#if defined(__FMA__)
    y[i] = sizeof(F) == 4 ? __builtin_fmaf(a[i], b[i], y[i]) : __builtin_fma(a[i], b[i], y[i]);
#else
    y[i] += a[i] * b[i];
#endif
  }
}

// Pooling looks at 32 bytes of channels at a time, and at what is left over one by one.
template <class F>
using Channels = typename Vec<F, 32>::Type;
template <class F>
constexpr std::size_t kChannels = Vec<F, 32>::kLanes;

// The whole numbers that a comparison of channels gives.
template <class F>
struct MaskOf;
template <>
struct MaskOf<float> {
  typedef std::int32_t Type __attribute__((vector_size(32)));
};
template <>
struct MaskOf<double> {
  typedef std::int64_t Type __attribute__((vector_size(32)));
};

// A cell is better where it is greater, or NaN.
template <class F>
WENGERT_INLINE bool Beats(F x, F best) {
  return x > best || x != x;
}

template <class F>
void MaxRow(const PoolRow& row, const F* x, F* y) {
  using V = Channels<F>;
  constexpr std::size_t L = kChannels<F>;
  for (std::size_t q = 0; q < row.windows; q++, x += row.step, y += row.channels) {
    std::size_t c = 0;
    for (; c + L <= row.channels; c += L) {
      V best, v;
      Load(best, x + row.cells[0] + c);
      for (std::size_t i = 1; i < row.count; i++) {
        Load(v, x + row.cells[i] + c);
        best = ((v > best) | (v != v)) ? v : best;
      }
      StoreSome<false>(y + c, best, L);
    }
    for (; c < row.channels; c++) {
      F best = x[row.cells[0] + static_cast<std::ptrdiff_t>(c)];
      for (std::size_t i = 1; i < row.count; i++) {
        const F v = x[row.cells[i] + static_cast<std::ptrdiff_t>(c)];
        best = Beats(v, best) ? v : best;
      }
      y[c] = best;
    }
  }
}

template <class F>
void TakeRow(const PoolRow& row, const F* t, const F* x, F* y) {
  for (std::size_t q = 0; q < row.windows; q++, x += row.step, t += row.step, y += row.channels) {
    for (std::size_t c = 0; c < row.channels; c++) {
      std::ptrdiff_t place = row.cells[0] + static_cast<std::ptrdiff_t>(c);
      for (std::size_t i = 1; i < row.count; i++) {
        const std::ptrdiff_t other = row.cells[i] + static_cast<std::ptrdiff_t>(c);
        if (Beats(x[other], x[place])) place = other;
      }
      y[c] = t[place];
    }
  }
}

template <class F>
void PutRow(const PoolRow& row, const F* g, const F* x, F* out) {
  using V = Channels<F>;
  using Mask = typename MaskOf<F>::Type;
  constexpr std::size_t L = kChannels<F>;
  for (std::size_t q = 0; q < row.windows; q++, x += row.step, out += row.step, g += row.channels) {
    std::size_t c = 0;
    for (; c + L <= row.channels; c += L) {
      V best, v;
      Mask cell = {};
      Load(best, x + row.cells[0] + c);
      for (std::size_t i = 1; i < row.count; i++) {
        Load(v, x + row.cells[i] + c);
        const Mask better = (v > best) | (v != v);
        best = better ? v : best;
        cell = better ? Mask{} + static_cast<decltype(cell[0] + 0)>(i) : cell;
      }
      V slope;
      Load(slope, g + c);
      for (std::size_t i = 0; i < row.count; i++) {
        Load(v, out + row.cells[i] + c);
        v = (cell == static_cast<decltype(cell[0] + 0)>(i)) ? v + slope : v;
        StoreSome<false>(out + row.cells[i] + c, v, L);
      }
    }
    for (; c < row.channels; c++) {
      std::ptrdiff_t place = row.cells[0] + static_cast<std::ptrdiff_t>(c);
      for (std::size_t i = 1; i < row.count; i++) {
        const std::ptrdiff_t other = row.cells[i] + static_cast<std::ptrdiff_t>(c);
        if (Beats(x[other], x[place])) place = other;
      }
      out[place] += g[c];
    }
  }
}

template <class F>
constexpr ConvTable<F> kTable = {
    {Vec<F, kWide / 2>::kLanes, Vec<F, kWide>::kLanes, 2 * Vec<F, kWide>::kLanes},
    {Row<F, kWide / 2, 1>, Row<F, kWide, 1>, Row<F, kWide, 2>},
    {Outer<F, kWide / 2, 1>, Outer<F, kWide, 1>, Outer<F, kWide, 2>},
    AddProducts<F>,
    MaxRow<F>,
    TakeRow<F>,
    PutRow<F>,
};

}  // namespace

const ConvTable<float> kConvF32 = kTable<float>;
const ConvTable<double> kConvF64 = kTable<double>;

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
