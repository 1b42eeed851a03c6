// What the transposes of convolution under pooling share: which cells carry a gradient, and how rows of cells are cut into
// runs of vectors. Letters as in conv_pooled.cc.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "conv.h"

namespace wengert::convolution {

// Windows of pooling that lie on y and may leave some of it out.
struct Pools {
  std::int64_t rows, columns, height, width, stride_h, stride_w;
};

// Some runs of elements under a window, added together.
struct Chunk {
  std::size_t runs;                    // 1 or 3
  std::vector<std::ptrdiff_t> from;    // on the plane
  std::size_t first;                   // its first element in `elements`
};

// Whether all are finite: to skip a product of 0 by what is not would leave out its NaN.
template <class F>
bool AllFinite(const F* values, std::int64_t count) {
  using Bits = std::conditional_t<sizeof(F) == 4, std::uint32_t, std::uint64_t>;
  constexpr Bits kLow = Bits(1) << (std::numeric_limits<F>::digits - 1);  // the lowest bit of an exponent
  constexpr Bits kTop = Bits(1) << (8 * sizeof(F) - 1);
  constexpr Bits kExponent = kTop - kLow;
  Bits any = 0;
  for (std::int64_t i = 0; i < count; i++) {
    Bits bits;
    std::memcpy(&bits, values + i, sizeof bits);
    any |= (bits & kExponent) + kLow;
  }
  return (any & kTop) == 0;
}

template <class F>
class Pooled : public Base<F> {
 public:
  using Table = PooledTable<F>;
  using Place = typename Table::Place;

  // `copied`: the plane is none of the caller's images. Runs of all channels together take at most `budget` bytes a channel.
  Pooled(const Windows& s, const Pools& pools, std::int64_t things, bool copied, std::size_t budget)
      : Base<F>(s, things), pools_(pools), loops_(WENGERT_TABLE(Pooled, F)) {
    if (s.n * s.result() == 0 || s.image() == 0 || s.kh * s.kw == 0) return;
    plane_ = this->PlaneOfWindows();
    if (copied) {
      plane_.own = false;
      plane_.columns = s.columns();
    }
    const double elements = static_cast<double>(plane_.rows) * static_cast<double>(plane_.columns) * static_cast<double>(s.c);
    const std::int64_t length = s.step_w == 1 ? s.kw * s.c : s.c;
    plain_ = length < static_cast<std::int64_t>(loops_.lanes) || elements > 1e9 ||
             !(plane_.own || Reasonable(elements, static_cast<double>(s.image())));
    if (plain_) return;
    Cut(static_cast<std::size_t>(length), budget);
    for (std::int64_t a = 0; a < pools.height; a++) {
      for (std::int64_t b = 0; b < pools.width; b++) {
        cells_.push_back((a * s.q + b) * s.d);
        on_plane_.push_back(a * s.stride_h * plane_.pitch() + b * s.stride_w * s.c);
      }
    }
  }

 protected:
  std::int64_t pooled() const { return pools_.rows * pools_.columns * this->s_.d; }
  // A row of windows of pooling as it lies on y, and on the plane.
  typename Table::Row RowOf(const std::vector<std::ptrdiff_t>& cells, std::ptrdiff_t step, std::int64_t channels) const {
    return {static_cast<std::size_t>(pools_.columns), cells.size(), cells.data(), step, this->s_.d, static_cast<std::size_t>(channels)};
  }
  typename Table::Row OnResult(std::int64_t channels) const { return RowOf(cells_, pools_.stride_w * this->s_.d, channels); }
  typename Table::Row OnPlane() const { return RowOf(on_plane_, pools_.stride_w * this->s_.stride_w * this->s_.c, this->s_.d); }
  std::ptrdiff_t RowOnResult(std::int64_t row) const { return row * pools_.stride_h * this->s_.q * this->s_.d; }
  std::ptrdiff_t RowOnPlane(std::int64_t row) const { return row * pools_.stride_h * this->s_.stride_h * plane_.pitch(); }
  std::size_t Length(const Chunk& chunk) const { return chunk.runs * vectors_ * loops_.lanes; }
  typename Table::Runs RunsOf(const Chunk& chunk) const { return {chunk.from.data(), last_}; }

  // The row and column of the largest cell of the window whose first cell is `corner`.
  std::pair<std::int64_t, std::int64_t> Largest(const F* corner) const {
    const Windows& s = this->s_;
    std::int64_t i = 0, j = 0;
    for (std::int64_t a = 0; a < pools_.height; a++) {
      for (std::int64_t b = 0; b < pools_.width; b++) {
        const F v = corner[(a * s.q + b) * s.d];
        if (v > corner[(i * s.q + j) * s.d] || v != v) i = a, j = b;
      }
    }
    return {i, j};
  }

  // Calls visit(image, weight, channel of d, g) with offsets of channels, for every cell under the windows of images
  // from … to − 1 that carry a gradient.
  template <class Visit>
  void WalkPooled(std::int64_t from, std::int64_t to, const F* g, const F* y, const Visit& visit) const {
    const Windows& s = this->s_;
    for (std::int64_t n = from; n < to; n++) {
      for (std::int64_t at = 0; at < pooled(); at++) {
        const F slope = g[n * pooled() + at];
        if (slope == 0) continue;
        const std::int64_t d = at % s.d, column = at / s.d % pools_.columns, row = at / s.d / pools_.columns;
        const auto [i, j] = Largest(y + ((n * s.p + row * pools_.stride_h) * s.q + column * pools_.stride_w) * s.d + d);
        const std::int64_t top = (row * pools_.stride_h + i) * s.stride_h - s.pad_h;
        const std::int64_t left = (column * pools_.stride_w + j) * s.stride_w - s.pad_w;
        const CellRange rows = CellsOn(top, s.kh, s.step_h, s.h), columns = CellsOn(left, s.kw, s.step_w, s.w);
        for (std::int64_t a = rows.first; a < rows.end; a++) {
          for (std::int64_t b = columns.first; b < columns.end; b++) {
            visit(((n * s.h + top + a * s.step_h) * s.w + left + b * s.step_w) * s.c, (a * s.kw + b) * s.c * s.d + d, slope);
          }
        }
      }
    }
  }

  // What of the gradient stands at a cell of y: g where it is the largest of its window, else 0.
  F GradientAt(std::int64_t n, std::int64_t p, std::int64_t q, std::int64_t d, const F* g, const F* y) const {
    const Windows& s = this->s_;
    const std::int64_t row = p / pools_.stride_h, column = q / pools_.stride_w;
    const std::int64_t i = p % pools_.stride_h, j = q % pools_.stride_w;
    if (row >= pools_.rows || column >= pools_.columns || i >= pools_.height || j >= pools_.width) return 0;
    const F slope = g[((n * pools_.rows + row) * pools_.columns + column) * s.d + d];
    if (slope == 0) return 0;
    const auto [a, b] = Largest(y + ((n * s.p + row * pools_.stride_h) * s.q + column * pools_.stride_w) * s.d + d);
    return a == i && b == j ? slope : F(0);
  }

  const Pools pools_;
  const Table& loops_;
  Plane plane_{};
  bool plain_ = true;
  std::vector<std::ptrdiff_t> cells_, on_plane_;  // of a window of pooling, on y and on the plane
  std::size_t vectors_ = 0;                       // of a run
  std::ptrdiff_t last_ = 0;
  std::vector<Chunk> chunks_;
  // The rows of w in the order of the chunks' vectors; −1 where another vector holds the element already.
  std::vector<std::int64_t> elements_;

 private:
  // Cuts each row of cells, `length` elements that lie together, into runs of as many vectors each.
  void Cut(std::size_t length, std::size_t budget) {
    const Windows& s = this->s_;
    const std::size_t lanes = loops_.lanes;
    const std::size_t most = std::clamp<std::size_t>(budget / (3 * lanes * sizeof(F)), 1, static_cast<std::size_t>(loops_.most));
    const std::size_t vectors = (length + lanes - 1) / lanes;
    const std::size_t pieces = (vectors + most - 1) / most;
    vectors_ = (vectors + pieces - 1) / pieces;
    const std::size_t whole = vectors_ * lanes;
    last_ = static_cast<std::ptrdiff_t>(std::min(length, whole) - lanes);
    std::vector<std::ptrdiff_t> from;
    std::vector<std::size_t> row;  // of w, of a run's first element
    for (std::int64_t a = 0; a < s.kh; a++) {
      for (std::int64_t b = 0; b < (s.step_w == 1 ? 1 : s.kw); b++) {
        for (std::size_t i = 0; i < pieces; i++) {
          const std::size_t start = length < whole ? 0 : std::min(i * whole, length - whole);
          from.push_back(a * s.step_h * plane_.pitch() + b * s.step_w * s.c + static_cast<std::ptrdiff_t>(start));
          row.push_back(static_cast<std::size_t>((a * s.kw + b) * s.c) + start);
        }
      }
    }
    std::vector<bool> held(static_cast<std::size_t>(s.kh * s.kw * s.c));
    for (std::size_t i = 0; i < from.size();) {
      const std::size_t runs = from.size() - i >= 3 ? 3 : 1;
      chunks_.push_back({runs, {from.begin() + static_cast<std::ptrdiff_t>(i), from.begin() + static_cast<std::ptrdiff_t>(i + runs)}, elements_.size()});
      for (const std::size_t end = i + runs; i < end; i++) {
        for (std::size_t j = 0; j < vectors_; j++) {
          const std::size_t start = row[i] + (j + 1 < vectors_ ? j * lanes : static_cast<std::size_t>(last_));
          for (std::size_t k = start; k < start + lanes; k++) {
            elements_.push_back(held[k] ? -1 : static_cast<std::int64_t>(k));
            held[k] = true;
          }
        }
      }
    }
  }
};

}  // namespace wengert::convolution
