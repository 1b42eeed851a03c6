// The transpose of convolution by its input.
#include "conv.h"
#include "rooms.h"

namespace wengert {

using namespace convolution;

namespace {

// x̄ ← ȳ, w. Rows of x̄ fall into phases by what is left of their place by the stride; those of one phase see the same
// cells, and are a convolution of ȳ of stride 1.
template <class F>
class ConvInput final : public Base<F> {
 public:
  explicit ConvInput(const Windows& s) : Base<F>(s, s.n) {
    if (s.n * s.image() == 0) return;
    const std::int64_t low_h = s.pad_h / s.stride_h - (s.kh - 1) * s.step_h / s.stride_h;
    const std::int64_t low_w = s.pad_w / s.stride_w - (s.kw - 1) * s.step_w / s.stride_w;
    plane_ = {(s.pad_h + s.h - 1) / s.stride_h - low_h + 1, (s.pad_w + s.w - 1) / s.stride_w - low_w + 1, s.d, -low_h, -low_w};
    if (plane_.top == 0 && plane_.left == 0 && plane_.rows <= s.p && plane_.columns <= s.q) {
      plane_.own = true;
      plane_.columns = s.q;
    }
    const double columns = static_cast<double>(plane_.columns) * static_cast<double>(s.d);
    const double results = static_cast<double>(std::max(s.result(), s.image()));
    plain_ = this->depthwise() || s.result() == 0 || s.kh * s.kw == 0 ||
             !(plane_.own || Reasonable(static_cast<double>(plane_.rows) * columns, results)) ||
             !Reasonable(static_cast<double>(s.stride_h) * static_cast<double>(s.stride_w), results);
    if (plain_) return;
    panels_ = PanelsOf(this->table_, this->own_);
    for (std::int64_t r = 0; r < std::min(s.stride_h, s.h); r++) {
      for (std::int64_t t = 0; t < std::min(s.stride_w, s.w); t++) AddPhase(r, t, low_h, low_w);
    }
    std::size_t width = 0;
    for (const Panel& panel : panels_) width += this->table_.panel[panel.width];
    this->shared_ = Aligned(width * static_cast<std::size_t>(s.groups * s.kh * s.kw * this->each_) * sizeof(F));
    this->part_ = Aligned(plane_.elements() * sizeof(F));
  }

  bool Run(void* const* operands, Context& context) const override {
    const Windows& s = this->s_;
    F* const x = static_cast<F*>(operands[0]);
    const F* const y = static_cast<const F*>(operands[1]);
    const F* const w = static_cast<const F*>(operands[2]);
    if (s.n * s.image() == 0) return true;
    if (!plain_) Pack(w, static_cast<F*>(context.workspace));
    this->Parts(context, [&](int part) {
      const std::int64_t from = Begin(s.n, part, this->parts_);
      const std::int64_t to = Begin(s.n, part + 1, this->parts_);
      if (plain_) {
        Plain(from, to, y, w, x);
        return;
      }
      F* const plane = this->PartOf(context, part);
      if (!plane_.own) std::memset(plane, 0, plane_.elements() * sizeof(F));
      for (std::int64_t n = from; n < to && !Pool::Leaving(); n++) {
        const F* image = y + n * s.result();
        if (!plane_.own) {
          plane_.Fill(plane, image, s.p, s.q);
          image = plane;
        }
        Image(image, static_cast<const F*>(context.workspace), x + n * s.image());
      }
    });
    return true;
  }

 private:
  struct Cell {
    std::int64_t a, b;
  };
  // The positions row + i·stride, column + j·stride of x̄; the corner of the first one's window on the plane.
  struct Phase {
    std::int64_t row, column, rows, columns;
    std::ptrdiff_t corner;
    std::vector<Cell> cells;
    std::vector<ConvTap> taps;  // of the first group
  };

  void AddPhase(std::int64_t row, std::int64_t column, std::int64_t low_h, std::int64_t low_w) {
    const Windows& s = this->s_;
    const std::int64_t r = (row + s.pad_h) % s.stride_h;
    const std::int64_t t = (column + s.pad_w) % s.stride_w;
    Phase phase{row, column, (s.h - row + s.stride_h - 1) / s.stride_h, (s.w - column + s.stride_w - 1) / s.stride_w, 0, {}, {}};
    const std::int64_t top = (row + s.pad_h - r) / s.stride_h - low_h;
    const std::int64_t left = (column + s.pad_w - t) / s.stride_w - low_w;
    phase.corner = (top * plane_.columns + left) * s.d;
    for (std::int64_t a = s.kh - 1; a >= 0; a--) {
      if ((a * s.step_h) % s.stride_h != r) continue;
      for (std::int64_t b = s.kw - 1; b >= 0; b--) {
        if ((b * s.step_w) % s.stride_w != t) continue;
        const std::int64_t up = (a * s.step_h - r) / s.stride_h;
        const std::int64_t back = (b * s.step_w - t) / s.stride_w;
        const ConvTap tap{-(up * plane_.columns + back) * s.d, static_cast<std::size_t>(this->each_)};
        phase.cells.push_back({a, b});
        // Cells whose channels follow in memory are one.
        if (!phase.taps.empty() && s.groups == 1 &&
            phase.taps.back().offset + static_cast<std::ptrdiff_t>(phase.taps.back().length) == tap.offset) {
          phase.taps.back().length += tap.length;
        } else {
          phase.taps.push_back(tap);
        }
      }
    }
    phases_.push_back(std::move(phase));
  }

  void Pack(const F* w, F* packed) const {
    const Windows& s = this->s_;
    for (const Phase& phase : phases_) {
      for (std::int64_t g = 0; g < s.groups; g++) {
        for (const Panel& panel : panels_) {
          const std::size_t width = this->table_.panel[panel.width];
          for (const Cell& cell : phase.cells) {
            const F* from = w + ((cell.a * s.kw + cell.b) * this->own_ + panel.first) * s.d + g * this->each_;
            for (std::int64_t k = 0; k < this->each_; k++, packed += width) {
              for (std::size_t i = 0; i < width; i++) {
                packed[i] = i < panel.channels ? from[static_cast<std::int64_t>(i) * s.d + k] : F(0);
              }
            }
          }
        }
      }
    }
  }

  void Image(const F* image, const F* packed, F* x) const {
    const Windows& s = this->s_;
    for (const Phase& phase : phases_) {
      for (std::int64_t g = 0; g < s.groups; g++) {
        for (const Panel& panel : panels_) {
          for (std::int64_t i = 0; i < phase.rows; i++) {
            F* const out = x + ((phase.row + i * s.stride_h) * s.w + phase.column) * s.c + g * this->own_ + panel.first;
            this->table_.row[panel.width](static_cast<std::size_t>(phase.columns), phase.taps.data(), phase.taps.size(),
                                          image + phase.corner + i * plane_.pitch() + g * this->each_, s.d, packed, out,
                                          s.stride_w * s.c, panel.channels);
          }
          packed += this->table_.panel[panel.width] * phase.cells.size() * static_cast<std::size_t>(this->each_);
        }
      }
    }
  }

  void Plain(std::int64_t from, std::int64_t to, const F* y, const F* w, F* x) const {
    const Windows& s = this->s_;
    std::fill(x + from * s.image(), x + to * s.image(), F(0));
    this->Walk(from, to, [&](std::int64_t image, std::int64_t result, std::int64_t cell) {
      if (this->depthwise()) {
        this->table_.add_products(static_cast<std::size_t>(s.c), x + image, y + result, w + cell);
        return;
      }
      for (std::int64_t c = 0; c < s.c; c++) {
        const std::int64_t g = c / this->own_;
        const F* row = w + cell + (c - g * this->own_) * s.d;
        F sum = 0;
        for (std::int64_t d = g * this->each_; d < (g + 1) * this->each_; d++) sum += y[result + d] * row[d];
        x[image + c] += sum;
      }
    });
  }

  Plane plane_{};
  bool plain_ = true;
  std::vector<Panel> panels_;
  std::vector<Phase> phases_;
};

}  // namespace

std::unique_ptr<Instruction> PrepareConvInput(const Call& call) {
  return PrepareConvolution<ConvInput>("convInput", call, {kX, kY, kW}, {"x", "g", "w"});
}

}  // namespace wengert
