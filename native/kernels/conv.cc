// Convolution, channels last. The image is copied into a plane with its zeros around it (where windows leave it), weights
// into panels as wide as a few vectors of channels; then every row of positions is a small product whose first operand is
// read where it lies. Windows that would need a far larger plane than the image (great dilations) are summed plainly.
#include "conv.h"
#include "rooms.h"

namespace wengert {

using namespace convolution;

namespace {

// y ← x, w
template <class F>
class Conv final : public Base<F> {
 public:
  explicit Conv(const Windows& s) : Base<F>(s, s.n) {
    if (s.n * s.result() == 0) return;
    plane_ = this->PlaneOfWindows();
    const double columns = static_cast<double>(plane_.columns) * static_cast<double>(s.c);
    plain_ = this->depthwise() || s.image() == 0 || s.kh * s.kw == 0 ||
             !(plane_.own || Reasonable(static_cast<double>(plane_.rows) * columns, static_cast<double>(s.image())));
    if (plain_) return;
    panels_ = PanelsOf(this->table_, this->each_);
    const bool whole = s.groups == 1 && s.step_w == 1;
    const std::int64_t cells = whole ? 1 : s.kw;
    for (std::int64_t g = 0; g < s.groups; g++) {
      for (std::int64_t a = 0; a < s.kh; a++) {
        for (std::int64_t b = 0; b < cells; b++) {
          taps_.push_back({a * s.step_h * plane_.pitch() + b * s.step_w * s.c + g * this->own_,
                           static_cast<std::size_t>(whole ? s.kw * s.c : this->own_)});
        }
      }
    }
    std::size_t packed = 0;
    for (const Panel& panel : panels_) packed += this->table_.panel[panel.width];
    this->shared_ = Aligned(packed * static_cast<std::size_t>(s.groups * s.kh * s.kw * this->own_) * sizeof(F));
    this->part_ = Aligned(plane_.elements() * sizeof(F));
  }

  bool Run(void* const* operands, Context& context) const override {
    const Windows& s = this->s_;
    F* const y = static_cast<F*>(operands[0]);
    const F* const x = static_cast<const F*>(operands[1]);
    const F* const w = static_cast<const F*>(operands[2]);
    if (s.n * s.result() == 0) return true;
    if (!plain_) Pack(w, static_cast<F*>(context.workspace));
    this->Parts(context, [&](int part) {
      const std::int64_t from = Begin(s.n, part, this->parts_);
      const std::int64_t to = Begin(s.n, part + 1, this->parts_);
      if (plain_) {
        Plain(from, to, x, w, y);
        return;
      }
      F* const plane = this->PartOf(context, part);
      if (!plane_.own) std::memset(plane, 0, plane_.elements() * sizeof(F));
      for (std::int64_t n = from; n < to && !Pool::Leaving(); n++) {
        const F* image = x + n * s.image();
        if (!plane_.own) {
          plane_.Fill(plane, image, s.h, s.w);
          image = plane;
        }
        Image(image, static_cast<const F*>(context.workspace), y + n * s.result());
      }
    });
    return true;
  }

 private:
  void Pack(const F* w, F* packed) const {
    const std::int64_t rows = this->s_.kh * this->s_.kw * this->own_;
    for (std::int64_t g = 0; g < this->s_.groups; g++) {
      for (const Panel& panel : panels_) {
        const std::size_t width = this->table_.panel[panel.width];
        const F* from = w + g * this->each_ + panel.first;
        for (std::int64_t row = 0; row < rows; row++, from += this->s_.d, packed += width) {
          std::memcpy(packed, from, panel.channels * sizeof(F));
          for (std::size_t i = panel.channels; i < width; i++) packed[i] = 0;
        }
      }
    }
  }

  void Image(const F* image, const F* packed, F* y) const {
    const Windows& s = this->s_;
    const std::size_t count = taps_.size() / static_cast<std::size_t>(s.groups);
    for (std::int64_t g = 0; g < s.groups; g++) {
      const ConvTap* taps = taps_.data() + static_cast<std::size_t>(g) * count;
      for (const Panel& panel : panels_) {
        for (std::int64_t p = 0; p < s.p; p++) {
          this->table_.row[panel.width](static_cast<std::size_t>(s.q), taps, count, image + p * s.stride_h * plane_.pitch(),
                                        s.stride_w * s.c, packed, y + p * s.q * s.d + g * this->each_ + panel.first, s.d,
                                        panel.channels);
        }
        packed += this->table_.panel[panel.width] * static_cast<std::size_t>(s.kh * s.kw * this->own_);
      }
    }
  }

  void Plain(std::int64_t from, std::int64_t to, const F* x, const F* w, F* y) const {
    const Windows& s = this->s_;
    std::fill(y + from * s.result(), y + to * s.result(), F(0));
    this->Walk(from, to, [&](std::int64_t image, std::int64_t result, std::int64_t cell) {
      if (this->depthwise()) {
        this->table_.add_products(static_cast<std::size_t>(s.c), y + result, x + image, w + cell);
        return;
      }
      for (std::int64_t c = 0; c < s.c; c++) {
        const std::int64_t g = c / this->own_;
        const F* row = w + cell + (c - g * this->own_) * s.d;
        for (std::int64_t d = g * this->each_; d < (g + 1) * this->each_; d++) y[result + d] += x[image + c] * row[d];
      }
    });
  }

  Plane plane_{};
  bool plain_ = true;
  std::vector<Panel> panels_;
  std::vector<ConvTap> taps_;  // of each group
};

}  // namespace

std::unique_ptr<Instruction> PrepareConv(const Call& call) {
  return PrepareConvolution<Conv>("conv", call, {kY, kX, kW}, {"y", "x", "w"});
}

}  // namespace wengert
