// The transpose of convolution by its weight.
#include "conv.h"
#include "rooms.h"

namespace wengert {

using namespace convolution;

namespace {

// w̄ ← x, ȳ. Parts take rows of w̄, so that every sum runs over all images in their order.
template <class F>
class ConvWeight final : public Base<F> {
 public:
  explicit ConvWeight(const Windows& s) : Base<F>(s, s.kh * s.kw * (s.c / s.groups)) {
    if (s.n * s.result() == 0) return;
    plane_ = this->PlaneOfWindows();
    const double columns = static_cast<double>(plane_.columns) * static_cast<double>(s.c);
    plain_ = this->depthwise() || s.image() == 0 || s.kh * s.kw == 0 ||
             !(plane_.own || Reasonable(static_cast<double>(plane_.rows) * columns, static_cast<double>(s.image())));
    if (plain_) {
      this->parts_ = 1;
      return;
    }
    panels_ = PanelsOf(this->table_, this->each_);
    for (std::int64_t a = 0; a < s.kh; a++) {
      for (std::int64_t b = 0; b < s.kw; b++) {
        for (std::int64_t c = 0; c < this->own_; c++) {
          offsets_.push_back(a * s.step_h * plane_.pitch() + b * s.step_w * s.c + c);
        }
      }
    }
    // A panel that is wider than its channels reads beyond the last position: from a copy with room behind.
    const Panel& last = panels_.back();
    beyond_ = this->table_.panel[last.width] - last.channels;
    const std::size_t copy = beyond_ > 0 ? static_cast<std::size_t>(s.result()) + beyond_ : 0;
    this->part_ = Aligned((plane_.elements() + copy) * sizeof(F));
  }

  bool Run(void* const* operands, Context& context) const override {
    const Windows& s = this->s_;
    F* const w = static_cast<F*>(operands[0]);
    const F* const x = static_cast<const F*>(operands[1]);
    const F* const y = static_cast<const F*>(operands[2]);
    const std::int64_t rows = s.kh * s.kw * this->own_;
    std::fill(w, w + rows * s.d, F(0));
    if (s.n * s.result() == 0) return true;
    if (plain_) {
      Plain(x, y, w);
      return true;
    }
    this->Parts(context, [&](int part) {
      const std::int64_t from = Begin(rows, part, this->parts_);
      const std::int64_t to = Begin(rows, part + 1, this->parts_);
      F* const plane = this->PartOf(context, part);
      F* const copy = plane + plane_.elements();
      if (!plane_.own) std::memset(plane, 0, plane_.elements() * sizeof(F));
      if (beyond_ > 0) std::memset(copy + s.result(), 0, beyond_ * sizeof(F));
      for (std::int64_t n = 0; n < s.n && !Pool::Leaving(); n++) {
        const F* image = x + n * s.image();
        const F* result = y + n * s.result();
        if (!plane_.own) {
          plane_.Fill(plane, image, s.h, s.w);
          image = plane;
        }
        if (beyond_ > 0) {
          std::memcpy(copy, result, static_cast<std::size_t>(s.result()) * sizeof(F));
          result = copy;
        }
        for (std::int64_t g = 0; g < s.groups; g++) Group(g, from, to, image, result, w);
      }
    });
    return true;
  }

 private:
  void Group(std::int64_t g, std::int64_t from, std::int64_t to, const F* image, const F* result, F* w) const {
    const Windows& s = this->s_;
    const ConvOuter<F> outer{static_cast<std::size_t>(s.p),
                             static_cast<std::size_t>(s.q),
                             image + g * this->own_,
                             s.stride_h * plane_.pitch(),
                             s.stride_w * s.c,
                             s.q * s.d,
                             s.d,
                             s.d};
    for (const Panel& panel : panels_) {
      const std::int64_t column = g * this->each_ + panel.first;
      this->table_.outer[panel.width](static_cast<std::size_t>(to - from), outer, offsets_.data() + from, result + column,
                                      w + from * s.d + column, panel.channels);
    }
  }

  void Plain(const F* x, const F* y, F* w) const {
    const Windows& s = this->s_;
    this->Walk(0, s.n, [&](std::int64_t image, std::int64_t result, std::int64_t cell) {
      if (this->depthwise()) {
        this->table_.add_products(static_cast<std::size_t>(s.c), w + cell, x + image, y + result);
        return;
      }
      for (std::int64_t c = 0; c < s.c; c++) {
        const std::int64_t g = c / this->own_;
        F* row = w + cell + (c - g * this->own_) * s.d;
        for (std::int64_t d = g * this->each_; d < (g + 1) * this->each_; d++) row[d] += x[image + c] * y[result + d];
      }
    });
  }

  Plane plane_{};
  bool plain_ = true;
  std::size_t beyond_ = 0;  // elements
  std::vector<Panel> panels_;
  std::vector<std::ptrdiff_t> offsets_;  // of w's rows on the plane
};

}  // namespace

std::unique_ptr<Instruction> PrepareConvWeight(const Call& call) {
  return PrepareConvolution<ConvWeight>("convWeight", call, {kW, kX, kY}, {"w", "x", "g"});
}

}  // namespace wengert
