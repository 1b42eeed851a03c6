// The two transposes of convolution where the gradient of its result stands at the largest cell of each window of pooling
// alone: of that gradient, g [n, p', q', d] as pooling gives it, and y, what was pooled, they make x̄ and w̄ without writing
// it out, and skip what it leaves 0. Products run along the elements of x that lie together under a window's rows. A product of
// 0 by what is not finite is NaN: where w or x holds such an element, its products with zeros are looked up afterwards.
//
// p', q' windows of pooling on y [n, p, q, d]; all other letters as in windows.h.
#include <atomic>

#include "conv_pooled.h"
#include "rooms.h"

namespace wengert {

using namespace convolution;

namespace {

// x̄ ← g, y, w
template <class F>
class ConvInputPooled final : public Pooled<F> {
 public:
  ConvInputPooled(const Windows& s, const Pools& pools)
      : Pooled<F>(s, pools, s.n, true, thresholds::kScatterBytes / static_cast<std::size_t>(std::max<std::int64_t>(1, s.d))) {
    if (this->plain_) return;
    words_ = static_cast<std::size_t>((s.d + 63) / 64);
    for (std::size_t k = 0; k < this->cells_.size(); k++) marks_.push_back(static_cast<typename Pooled<F>::Place>(k));
    this->shared_ = Aligned(this->elements_.size() * static_cast<std::size_t>(s.d) * sizeof(F));
    places_ = 64 * words_ * static_cast<std::size_t>(pools.columns);
    bits_ = this->cells_.size() * words_ * static_cast<std::size_t>(pools.columns);
    this->part_ = Aligned(this->plane_.elements() * sizeof(F)) + Aligned(places_ * sizeof(F)) +
                  Aligned(bits_ * static_cast<std::size_t>(pools.rows) * sizeof(std::uint64_t));
  }

  bool Run(void* const* operands, Context& context) const override {
    const Windows& s = this->s_;
    F* const x = static_cast<F*>(operands[0]);
    const F* const g = static_cast<const F*>(operands[1]);
    const F* const y = static_cast<const F*>(operands[2]);
    const F* const w = static_cast<const F*>(operands[3]);
    if (!this->plain_) Pack(w, static_cast<F*>(context.workspace));
    const bool finite = AllFinite(w, s.kh * s.kw * s.c * s.d);
    this->Parts(context, [&](int part) {
      const std::int64_t from = Begin(s.n, part, this->parts_);
      const std::int64_t to = Begin(s.n, part + 1, this->parts_);
      if (this->plain_) {
        std::fill(x + from * s.image(), x + to * s.image(), F(0));
        this->WalkPooled(from, to, g, y, [&](std::int64_t image, std::int64_t row, F slope) {
          for (std::int64_t c = 0; c < s.c; c++) x[image + c] += slope * w[row + c * s.d];
        });
      } else {
        F* const plane = this->PartOf(context, part);
        for (std::int64_t n = from; n < to && !Pool::Leaving(); n++) {
          Image(g + n * this->pooled(), y + n * s.result(), static_cast<const F*>(context.workspace), plane);
          CopyOut(plane, x + n * s.image());
        }
      }
      if (!finite) ZeroProducts(from, to, g, y, w, x);
    });
    return true;
  }

 private:
  using Place = typename Pooled<F>::Place;

  // NaN wherever an element of w that is not finite meets a 0 of the gradient of images from … to − 1.
  void ZeroProducts(std::int64_t from, std::int64_t to, const F* g, const F* y, const F* w, F* x) const {
    const Windows& s = this->s_;
    for (std::int64_t at = 0; at < s.kh * s.kw * s.c * s.d && !Pool::Leaving(); at++) {
      if (std::isfinite(w[at])) continue;
      const std::int64_t d = at % s.d, c = at / s.d % s.c, b = at / s.d / s.c % s.kw, a = at / s.d / s.c / s.kw;
      for (std::int64_t n = from; n < to; n++) {
        for (std::int64_t p = 0; p < s.p; p++) {
          const std::int64_t row = p * s.stride_h + a * s.step_h - s.pad_h;
          if (row < 0 || row >= s.h) continue;
          for (std::int64_t q = 0; q < s.q; q++) {
            const std::int64_t column = q * s.stride_w + b * s.step_w - s.pad_w;
            if (column < 0 || column >= s.w || this->GradientAt(n, p, q, d, g, y) != 0) continue;
            x[((n * s.h + row) * s.w + column) * s.c + c] = std::numeric_limits<F>::quiet_NaN();
          }
        }
      }
    }
  }

  // [chunk][d][elements], 0 where another vector holds the element.
  void Pack(const F* w, F* packed) const {
    for (const Chunk& chunk : this->chunks_) {
      const std::size_t length = this->Length(chunk);
      for (std::int64_t d = 0; d < this->s_.d; d++) {
        for (std::size_t i = 0; i < length; i++) {
          const std::int64_t row = this->elements_[chunk.first + i];
          *packed++ = row < 0 ? F(0) : w[row * this->s_.d + d];
        }
      }
    }
  }

  void Image(const F* g, const F* y, const F* packed, F* plane) const {
    const Windows& s = this->s_;
    char* const behind = reinterpret_cast<char*>(plane) + Aligned(this->plane_.elements() * sizeof(F));
    Place* const places = reinterpret_cast<Place*>(behind);
    std::uint64_t* const bits = reinterpret_cast<std::uint64_t*>(behind + Aligned(places_ * sizeof(F)));
    std::memset(plane, 0, this->plane_.elements() * sizeof(F));
    std::fill(places, places + places_, Place(-1));
    const std::int64_t row_of_g = this->pools_.columns * s.d;
    const auto on_result = this->OnResult(s.d);
    for (std::int64_t row = 0; row < this->pools_.rows; row++) {
      this->loops_.places(on_result, marks_.data(), y + this->RowOnResult(row), g + row * row_of_g, 64 * words_, places);
      this->loops_.bits(on_result.windows, marks_.size(), words_, places, bits + static_cast<std::size_t>(row) * bits_);
    }
    const auto on_plane = this->OnPlane();
    for (const Chunk& chunk : this->chunks_) {
      const auto scatter = this->loops_.scatter[chunk.runs == 3][this->vectors_ - 1];
      for (std::int64_t row = 0; row < this->pools_.rows; row++) {
        scatter(on_plane, bits + static_cast<std::size_t>(row) * bits_, words_, g + row * row_of_g, packed, this->RunsOf(chunk),
                plane + this->RowOnPlane(row));
      }
      packed += this->Length(chunk) * static_cast<std::size_t>(s.d);
    }
  }

  // The image's part of the plane; 0 where no window reaches.
  void CopyOut(const F* plane, F* image) const {
    const Windows& s = this->s_;
    const Plane& p = this->plane_;
    const std::int64_t rows = std::max<std::int64_t>(0, std::min(s.h, p.rows - p.top));
    const std::int64_t columns = std::max<std::int64_t>(0, std::min(s.w, p.columns - p.left));
    for (std::int64_t row = 0; row < s.h; row++, image += s.w * s.c) {
      const std::int64_t reached = row < rows ? columns * s.c : 0;
      if (reached > 0) std::memcpy(image, plane + ((row + p.top) * p.columns + p.left) * s.c, static_cast<std::size_t>(reached) * sizeof(F));
      std::fill(image + reached, image + s.w * s.c, F(0));
    }
  }

  std::size_t words_ = 0;           // of 64 channels
  std::size_t places_ = 0, bits_ = 0;  // elements of a row of windows
  std::vector<Place> marks_;
};

// w̄ ← x, g, y. Parts take channels of y, so that every sum runs over all images in their order.
template <class F>
class ConvWeightPooled final : public Pooled<F> {
 public:
  ConvWeightPooled(const Windows& s, const Pools& pools) : Pooled<F>(s, pools, s.d, false, static_cast<std::size_t>(-1)) {
    if (this->plain_) {
      this->parts_ = 1;
      return;
    }
    for (const std::ptrdiff_t cell : this->on_plane_) marks_.push_back(static_cast<Place>(cell));
    // As many rows of windows as let their part of the plane stay in a first-level cache.
    const double step = static_cast<double>(pools.stride_h * s.stride_h) * static_cast<double>(this->plane_.pitch()) * sizeof(F);
    const double reach = static_cast<double>((pools.height - 1) * s.stride_h + (s.kh - 1) * s.step_h + 1) *
                         static_cast<double>(this->plane_.pitch()) * sizeof(F);
    const double fit = (thresholds::kGatherBytes - reach) / std::max(1.0, step);
    band_ = static_cast<std::int64_t>(std::clamp(fit + 1, 1.0, static_cast<double>(pools.rows)));
    most_ = (s.d + this->parts_ - 1) / this->parts_;
    entries_ = static_cast<std::size_t>(band_ * pools.columns);
    const std::size_t channels = static_cast<std::size_t>(most_);
    this->part_ = Aligned(this->plane_.elements() * sizeof(F)) + Aligned(static_cast<std::size_t>(pools.columns) * channels * sizeof(F)) +
                  Aligned(channels * entries_ * sizeof(Entry)) + Aligned(channels * sizeof(std::size_t)) +
                  Aligned(channels * this->elements_.size() * sizeof(F));
  }

  bool Run(void* const* operands, Context& context) const override {
    const Windows& s = this->s_;
    F* const w = static_cast<F*>(operands[0]);
    const F* const x = static_cast<const F*>(operands[1]);
    const F* const g = static_cast<const F*>(operands[2]);
    const F* const y = static_cast<const F*>(operands[3]);
    if (this->plain_) {
      std::fill(w, w + s.kh * s.kw * s.c * s.d, F(0));
      this->WalkPooled(0, s.n, g, y, [&](std::int64_t image, std::int64_t row, F slope) {
        for (std::int64_t c = 0; c < s.c; c++) w[row + c * s.d] += slope * x[image + c];
      });
      if (!AllFinite(x, s.n * s.image())) ZeroProducts(0, s.d, g, y, x, w);
      return true;
    }
    std::atomic<bool> finite = true;
    this->Parts(context, [&](int part) {
      const std::int64_t from = Begin(s.n * s.image(), part, this->parts_);
      if (!AllFinite(x + from, Begin(s.n * s.image(), part + 1, this->parts_) - from)) finite = false;
    });
    this->Parts(context, [&](int part) {
      const std::int64_t from = Begin(s.d, part, this->parts_);
      const std::int64_t to = Begin(s.d, part + 1, this->parts_);
      const Memory m = MemoryOf(this->PartOf(context, part));
      const std::size_t length = this->elements_.size();
      std::memset(m.plane, 0, this->plane_.elements() * sizeof(F));
      std::fill(m.sums, m.sums + static_cast<std::size_t>(to - from) * length, F(0));
      for (std::int64_t n = 0; n < s.n && !Pool::Leaving(); n++) {
        const F* image = x + n * s.image();
        if (!this->plane_.own) {
          this->plane_.Fill(m.plane, image, s.h, s.w);
          image = m.plane;
        }
        Image(image, g + n * this->pooled() + from, y + n * s.result() + from, to - from, m);
      }
      for (std::size_t i = 0; i < length; i++) {
        const std::int64_t row = this->elements_[i];
        if (row < 0) continue;
        for (std::int64_t d = from; d < to; d++) w[row * s.d + d] = m.sums[static_cast<std::size_t>(d - from) * length + i];
      }
      if (!finite) ZeroProducts(from, to, g, y, x, w);
    });
    return true;
  }

 private:
  using Place = typename Pooled<F>::Place;
  using Entry = typename PooledTable<F>::Entry;

  // NaN wherever an element of x that is not finite meets a 0 of the gradient of channels from … to − 1.
  void ZeroProducts(std::int64_t from, std::int64_t to, const F* g, const F* y, const F* x, F* w) const {
    const Windows& s = this->s_;
    for (std::int64_t at = 0; at < s.n * s.image() && !Pool::Leaving(); at++) {
      if (std::isfinite(x[at])) continue;
      const std::int64_t c = at % s.c, column = at / s.c % s.w, row = at / s.c / s.w % s.h, n = at / s.image();
      for (std::int64_t a = 0; a < s.kh; a++) {
        const std::int64_t down = row + s.pad_h - a * s.step_h;
        if (down < 0 || down % s.stride_h != 0 || down / s.stride_h >= s.p) continue;
        for (std::int64_t b = 0; b < s.kw; b++) {
          const std::int64_t across = column + s.pad_w - b * s.step_w;
          if (across < 0 || across % s.stride_w != 0 || across / s.stride_w >= s.q) continue;
          for (std::int64_t d = from; d < to; d++) {
            if (this->GradientAt(n, down / s.stride_h, across / s.stride_w, d, g, y) == 0)
              w[((a * s.kw + b) * s.c + c) * s.d + d] = std::numeric_limits<F>::quiet_NaN();
          }
        }
      }
    }
  }

  struct Memory {
    F* plane;
    Place* places;       // [windows of a row, channels]
    Entry* entries;      // [channels, entries_]
    std::size_t* count;  // [channels]
    F* sums;             // [channels, elements]
  };
  Memory MemoryOf(F* plane) const {
    const std::size_t channels = static_cast<std::size_t>(most_);
    char* at = reinterpret_cast<char*>(plane);
    const auto take = [&](std::size_t bytes) {
      char* const taken = at;
      at += Aligned(bytes);
      return taken;
    };
    Memory m{};
    m.plane = reinterpret_cast<F*>(take(this->plane_.elements() * sizeof(F)));
    m.places = reinterpret_cast<Place*>(take(static_cast<std::size_t>(this->pools_.columns) * channels * sizeof(F)));
    m.entries = reinterpret_cast<Entry*>(take(channels * entries_ * sizeof(Entry)));
    m.count = reinterpret_cast<std::size_t*>(take(channels * sizeof(std::size_t)));
    m.sums = reinterpret_cast<F*>(take(channels * this->elements_.size() * sizeof(F)));
    return m;
  }

  void Image(const F* image, const F* g, const F* y, std::int64_t channels, const Memory& m) const {
    const auto on_result = this->OnResult(channels);
    const auto step = static_cast<Place>(this->OnPlane().step);
    const std::size_t width = static_cast<std::size_t>(channels);
    for (std::int64_t first = 0; first < this->pools_.rows; first += band_) {
      std::fill(m.count, m.count + width, std::size_t(0));
      const std::int64_t end = std::min(first + band_, this->pools_.rows);
      for (std::int64_t row = first; row < end; row++) {
        const F* slopes = g + row * this->pools_.columns * this->s_.d;
        this->loops_.places(on_result, marks_.data(), y + this->RowOnResult(row), slopes, width, m.places);
        const Place corner = static_cast<Place>(this->RowOnPlane(row - first));
        for (std::size_t d = 0; d < width; d++) {
          Entry* const entries = m.entries + d * entries_;
          std::size_t count = m.count[d];
          for (std::size_t i = 0; i < on_result.windows; i++) {
            const Place place = m.places[i * width + d];
            entries[count] = {static_cast<Place>(corner + static_cast<Place>(i) * step + place), slopes[i * static_cast<std::size_t>(this->s_.d) + d]};
            count += place >= 0;
          }
          m.count[d] = count;
        }
      }
      const F* const band = image + this->RowOnPlane(first);
      for (std::size_t d = 0; d < width; d++) {
        F* const sums = m.sums + d * this->elements_.size();
        for (const Chunk& chunk : this->chunks_) {
          this->loops_.gather[chunk.runs == 3][this->vectors_ - 1](m.count[d], m.entries + d * entries_, band, this->RunsOf(chunk),
                                                                  sums + chunk.first);
        }
      }
    }
  }

  std::int64_t band_ = 1, most_ = 0;
  std::size_t entries_ = 0;
  std::vector<Place> marks_;
};

template <template <class> class Kernel, bool kWeight>
std::unique_ptr<Instruction> PreparePooled(const char* op, const Call& call) {
  const std::int64_t* i = CheckDims(op, call, 21);
  CheckScalars(op, call, 0);
  const Windows s = {i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7], i[8], i[9], i[10], i[11], i[12], i[13], i[14], 1};
  const Pools pools = {i[15], i[16], i[17], i[18], i[19], i[20]};
  CheckReach(op, s);
  const std::int64_t least = std::min({pools.height, pools.width, pools.stride_h, pools.stride_w});
  if (least < 1) Refuse(op, "windows and strides of 1 or more", least);
  const auto fits = [&](const char* what, std::int64_t windows, std::int64_t stride, std::int64_t cells, std::int64_t size) {
    Volume(op, {std::max<std::int64_t>(1, windows), stride});
    if (windows > 0 && (windows - 1) * stride > size - cells) Refuse(op, what, windows);
  };
  fits("windows of pooling on the rows of y", pools.rows, pools.stride_h, pools.height, s.p);
  fits("windows of pooling on the columns of y", pools.columns, pools.stride_w, pools.width, s.q);
  CheckCounts(op, call, 1, 3);
  const std::int64_t image = Volume(op, {s.n, s.h, s.w, s.c});
  const std::int64_t weight = Volume(op, {s.kh, s.kw, s.c, s.d});
  const std::int64_t result = Volume(op, {s.n, s.p, s.q, s.d});
  const std::int64_t pooled = Volume(op, {s.n, pools.rows, pools.columns, s.d});
  const Dtype dtype = CheckOperand(op, kWeight ? "w" : "x", call.outputs[0], Kind::kFloat, kWeight ? weight : image);
  if (kWeight) CheckOperand(op, "x", call.inputs[0], Exactly(dtype), image);
  CheckOperand(op, "g", call.inputs[kWeight ? 1 : 0], Exactly(dtype), pooled);
  CheckOperand(op, "y", call.inputs[kWeight ? 2 : 1], Exactly(dtype), result);
  if (!kWeight) CheckOperand(op, "w", call.inputs[2], Exactly(dtype), weight);
  if (dtype == Dtype::kFloat32) return std::make_unique<Kernel<float>>(s, pools);
  return std::make_unique<Kernel<double>>(s, pools);
}

}  // namespace

std::unique_ptr<Instruction> PrepareConvInputPooled(const Call& call) {
  return PreparePooled<ConvInputPooled, false>("convInputPooled", call);
}
std::unique_ptr<Instruction> PrepareConvWeightPooled(const Call& call) {
  return PreparePooled<ConvWeightPooled, true>("convWeightPooled", call);
}

}  // namespace wengert
