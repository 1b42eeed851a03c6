// Convolution and its two transposes, channels last. The image is copied into a plane with its zeros around it (where
// windows leave it), weights into panels as wide as a few vectors of channels; then every row of positions is a small
// product whose first operand is read where it lies. Windows that would need a far larger plane than the image (great
// dilations) are summed plainly.
//
// n, h, w, c, p, q, d, kh, kw as in windows.h; own = c / groups and each = d / groups channels of a group.
#include <algorithm>
#include <cstring>
#include <vector>

#include "isa.h"
#include "rooms.h"
#include "windows.h"
#include "../program/pool.h"

namespace wengert {

namespace {

// Multiply-adds below which a call stays on its thread.
constexpr double kLeastForPool = 400000;

// Part `part` of `parts` of so many things: where it begins.
std::int64_t Begin(std::int64_t things, int part, int parts) { return things * part / parts; }

std::size_t Aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// Columns of channels as panels: where each begins, how many channels it holds, and the loops for its width.
struct Panel {
  std::int64_t first;
  std::size_t channels;
  int width;
};

template <class F>
std::vector<Panel> PanelsOf(const ConvTable<F>& table, std::int64_t channels) {
  std::vector<Panel> panels;
  for (std::int64_t at = 0; at < channels;) {
    const std::size_t left = static_cast<std::size_t>(channels - at);
    const int width = left <= table.panel[0] ? 0 : left <= table.panel[1] ? 1 : 2;
    const std::size_t taken = std::min(left, table.panel[width]);
    panels.push_back({at, taken, width});
    at += static_cast<std::int64_t>(taken);
  }
  return panels;
}

// An image with what stands around it: rows × columns of `channels`, the image's own first row and column at top, left.
struct Plane {
  std::int64_t rows, columns, channels, top, left;
  bool own = false;  // the image needs nothing around it and is read where it lies

  std::size_t elements() const { return own ? 0 : static_cast<std::size_t>(rows * columns * channels); }
  std::ptrdiff_t pitch() const { return columns * channels; }

  // Copies the part of an image of h × w that lies on the plane; all else was zeroed before.
  template <class F>
  void Fill(F* plane, const F* image, std::int64_t h, std::int64_t w) const {
    const std::int64_t first = std::max<std::int64_t>(0, -top);
    const std::int64_t last = std::min(h, rows - top);
    const std::int64_t begin = std::max<std::int64_t>(0, -left);
    const std::int64_t end = std::min(w, columns - left);
    if (end <= begin) return;
    for (std::int64_t row = first; row < last; row++) {
      std::memcpy(plane + ((row + top) * columns + begin + left) * channels, image + (row * w + begin) * channels,
                  static_cast<std::size_t>((end - begin) * channels) * sizeof(F));
    }
  }
};

// Whether a plane is worth its memory: at most some times the image.
bool Reasonable(double elements, double image) { return elements <= 8 * image + 65536; }

// What all three share: the geometry, how it is cut into parts, and their memory.
template <class F>
class Base : public Instruction {
 public:
  Base(const Windows& s, std::int64_t things)
      : s_(s), own_(s.c / s.groups), each_(s.d / s.groups), table_(WENGERT_TABLE(Conv, F)) {
    const double work = static_cast<double>(s.n) * static_cast<double>(s.p * s.q) * static_cast<double>(s.d) *
                        static_cast<double>(s.kh * s.kw * own_);
    const std::int64_t most = work < kLeastForPool ? 1 : Pool::threads();
    parts_ = static_cast<int>(std::max<std::int64_t>(1, std::min(most, things)));
  }

  std::size_t Workspace() const override { return shared_ + static_cast<std::size_t>(parts_) * part_; }

 protected:
  // Runs task(part) for all parts.
  template <class T>
  void Parts(Context& context, const T& task) const {
    if (parts_ == 1 || context.pool == nullptr) {
      for (int part = 0; part < parts_; part++) task(part);
      return;
    }
    context.pool->Run(
        parts_, [](void* argument, int part) { (*static_cast<const T*>(argument))(part); }, const_cast<T*>(&task));
  }
  F* PartOf(Context& context, int part) const {
    return reinterpret_cast<F*>(static_cast<char*>(context.workspace) + shared_ + static_cast<std::size_t>(part) * part_);
  }
  bool depthwise() const { return own_ == 1 && each_ == 1 && s_.groups > 1; }

  // Calls visit(image, result, cell) with offsets of channels for every cell on the image of the windows of images
  // from … to − 1.
  template <class Visit>
  void Walk(std::int64_t from, std::int64_t to, const Visit& visit) const {
    for (std::int64_t n = from; n < to; n++) {
      for (std::int64_t p = 0; p < s_.p; p++) {
        for (std::int64_t q = 0; q < s_.q; q++) {
          for (std::int64_t a = 0; a < s_.kh; a++) {
            const std::int64_t row = p * s_.stride_h + a * s_.step_h - s_.pad_h;
            if (row < 0 || row >= s_.h) continue;
            for (std::int64_t b = 0; b < s_.kw; b++) {
              const std::int64_t column = q * s_.stride_w + b * s_.step_w - s_.pad_w;
              if (column < 0 || column >= s_.w) continue;
              visit(((n * s_.h + row) * s_.w + column) * s_.c, ((n * s_.p + p) * s_.q + q) * s_.d,
                    (a * s_.kw + b) * own_ * s_.d);
            }
          }
        }
      }
    }
  }

  // The plane on which the windows of conv lie.
  Plane PlaneOfWindows() const {
    Plane plane{s_.rows(), s_.columns(), s_.c, s_.pad_h, s_.pad_w};
    if (s_.pad_h == 0 && s_.pad_w == 0 && plane.rows <= s_.h && plane.columns <= s_.w) {
      plane.own = true;
      plane.columns = s_.w;
    }
    return plane;
  }

  const Windows s_;
  const std::int64_t own_, each_;
  const ConvTable<F>& table_;
  int parts_ = 1;
  std::size_t shared_ = 0;  // bytes of the workspace that all parts read
  std::size_t part_ = 0;    // bytes of each part's own
};

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

// The three operands in the order of a call: its output, then its inputs.
enum Role { kX, kW, kY };

template <template <class> class Kernel>
std::unique_ptr<Instruction> PrepareConvolution(const char* op, const Call& call, const Role (&roles)[3],
                                                const char* const (&names)[3]) {
  const std::int64_t* i = CheckDims(op, call, 16);
  CheckScalars(op, call, 0);
  const Windows s = {i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7], i[8], i[9], i[10], i[11], i[12], i[13], i[14], i[15]};
  if (s.groups < 1 || s.c % s.groups != 0 || s.d % s.groups != 0) {
    Refuse(op, "groups that divide " + std::to_string(s.c) + " and " + std::to_string(s.d) + " channels", s.groups);
  }
  CheckReach(op, s);
  CheckCounts(op, call, 1, 2);
  const std::int64_t sizes[] = {Volume(op, {s.n, s.h, s.w, s.c}), Volume(op, {s.kh, s.kw, s.c / s.groups, s.d}),
                                Volume(op, {s.n, s.p, s.q, s.d})};
  const Dtype dtype = CheckOperand(op, names[0], call.outputs[0], Kind::kFloat, sizes[roles[0]]);
  CheckOperand(op, names[1], call.inputs[0], Exactly(dtype), sizes[roles[1]]);
  CheckOperand(op, names[2], call.inputs[1], Exactly(dtype), sizes[roles[2]]);
  if (dtype == Dtype::kFloat32) return std::make_unique<Kernel<float>>(s);
  return std::make_unique<Kernel<double>>(s);
}

}  // namespace

std::unique_ptr<Instruction> PrepareConv(const Call& call) {
  return PrepareConvolution<Conv>("conv", call, {kY, kX, kW}, {"y", "x", "w"});
}
std::unique_ptr<Instruction> PrepareConvInput(const Call& call) {
  return PrepareConvolution<ConvInput>("convInput", call, {kX, kY, kW}, {"x", "g", "w"});
}
std::unique_ptr<Instruction> PrepareConvWeight(const Call& call) {
  return PrepareConvolution<ConvWeight>("convWeight", call, {kW, kX, kY}, {"w", "x", "g"});
}

}  // namespace wengert
