// Extremes of windows, channels last: rows of windows that lie on the image go through the loops of conv_isa.cc, those at
// its border cell by cell.
#include <algorithm>
#include <limits>
#include <vector>

#include "isa.h"
#include "rooms.h"
#include "thresholds.h"
#include "windows.h"
#include "../program/pool.h"

namespace wengert {

namespace {

enum class Way { kMax, kTake, kPut };

template <class F>
class Pooling final : public Instruction {
 public:
  Pooling(const Windows& s, Way way) : s_(s), way_(way), table_(WENGERT_TABLE(Conv, F)) {
    const double work = static_cast<double>(s.n) * static_cast<double>(s.result()) * static_cast<double>(s.kh * s.kw);
    const std::int64_t most = work < thresholds::kSplitPooling ? 1 : Pool::threads();
    parts_ = static_cast<int>(std::max<std::int64_t>(1, std::min(most, s.n)));
    whole_p_ = Whole(s.p, s.stride_h, s.pad_h, (s.kh - 1) * s.step_h, s.h);
    whole_q_ = Whole(s.q, s.stride_w, s.pad_w, (s.kw - 1) * s.step_w, s.w);
    // Windows that lie on the image have no more cells than it.
    if (s.kh == 0 || s.kw == 0 || whole_p_.end <= whole_p_.first || whole_q_.end <= whole_q_.first) whole_p_ = {0, 0};
    if (whole_p_.end == 0) return;
    for (std::int64_t a = 0; a < s.kh; a++) {
      for (std::int64_t b = 0; b < s.kw; b++) cells_.push_back((a * s.step_h * s.w + b * s.step_w) * s.c);
    }
  }

  bool Run(void* const* operands, Context& context) const override {
    auto task = [&](int part) {
      for (std::int64_t n = s_.n * part / parts_; n < s_.n * (part + 1) / parts_ && !Pool::Leaving(); n++) {
        Image(n, operands);
      }
    };
    if (s_.n * s_.c == 0) return true;
    if (parts_ == 1 || context.pool == nullptr) {
      for (int part = 0; part < parts_; part++) task(part);
      return true;
    }
    using Task = decltype(task);
    context.pool->Run(
        parts_, [](void* argument, int part) { (*static_cast<Task*>(argument))(part); }, &task);
    return true;
  }

 private:
  // The windows from `first` to `end` − 1 have all cells on the image.
  struct Range {
    std::int64_t first, end;
  };
  static Range Whole(std::int64_t count, std::int64_t stride, std::int64_t pad, std::int64_t reach, std::int64_t size) {
    const std::int64_t first = std::min(count, (pad + stride - 1) / stride);
    const std::int64_t room = size - 1 - reach + pad;
    return {first, std::max(first, std::min(count, room < 0 ? 0 : room / stride + 1))};
  }

  void Image(std::int64_t n, void* const* operands) const {
    F* const out = static_cast<F*>(operands[0]) + n * (way_ == Way::kPut ? s_.image() : s_.result());
    const F* const values = static_cast<const F*>(operands[1]) + n * (way_ == Way::kPut ? s_.result() : s_.image());
    const F* const x = way_ == Way::kMax ? values : static_cast<const F*>(operands[2]) + n * s_.image();
    if (way_ == Way::kPut) std::fill(out, out + s_.image(), F(0));
    for (std::int64_t p = 0; p < s_.p; p++) {
      const bool whole = p >= whole_p_.first && p < whole_p_.end;
      const std::int64_t first = whole ? whole_q_.first : s_.q;
      const std::int64_t end = whole ? whole_q_.end : s_.q;
      for (std::int64_t q = 0; q < first; q++) Window(p, q, out, values, x);
      if (first < end) Row(p, first, end, out, values, x);
      for (std::int64_t q = end; q < s_.q; q++) Window(p, q, out, values, x);
    }
  }

  void Row(std::int64_t p, std::int64_t first, std::int64_t end, F* out, const F* values, const F* x) const {
    const PoolRow row{static_cast<std::size_t>(end - first), cells_.data(), cells_.size(), s_.stride_w * s_.c,
                      static_cast<std::size_t>(s_.c)};
    const std::int64_t corner = ((p * s_.stride_h - s_.pad_h) * s_.w + first * s_.stride_w - s_.pad_w) * s_.c;
    const std::int64_t at = (p * s_.q + first) * s_.c;
    switch (way_) {
      case Way::kMax: table_.max_row(row, x + corner, out + at); break;
      case Way::kTake: table_.take_row(row, values + corner, x + corner, out + at); break;
      default: table_.put_row(row, values + at, x + corner, out + corner);
    }
  }

  // One window, cell by cell: the first of equals, the last NaN.
  void Window(std::int64_t p, std::int64_t q, F* out, const F* values, const F* x) const {
    const std::int64_t at = (p * s_.q + q) * s_.c;
    const std::int64_t top = p * s_.stride_h - s_.pad_h;
    const std::int64_t left = q * s_.stride_w - s_.pad_w;
    const CellRange rows = CellsOn(top, s_.kh, s_.step_h, s_.h);
    const CellRange columns = CellsOn(left, s_.kw, s_.step_w, s_.w);
    for (std::int64_t c = 0; c < s_.c; c++) {
      std::int64_t place = -1;
      for (std::int64_t a = rows.first; a < rows.end; a++) {
        for (std::int64_t b = columns.first; b < columns.end; b++) {
          const std::int64_t cell = ((top + a * s_.step_h) * s_.w + left + b * s_.step_w) * s_.c + c;
          if (place < 0 || x[cell] > x[place] || x[cell] != x[cell]) place = cell;
        }
      }
      if (way_ == Way::kPut) {
        if (place >= 0) out[place] += values[at + c];
      } else if (place < 0) {
        out[at + c] = way_ == Way::kMax ? -std::numeric_limits<F>::infinity() : F(0);
      } else {
        out[at + c] = values[place];
      }
    }
  }

  const Windows s_;
  const Way way_;
  const ConvTable<F>& table_;
  int parts_ = 1;
  std::vector<std::ptrdiff_t> cells_;  // of a window, from its corner on the image
  Range whole_p_{0, 0}, whole_q_{0, 0};
};

std::unique_ptr<Instruction> PreparePooling(const char* op, const Call& call, Way way) {
  const std::int64_t* i = CheckDims(op, call, 14);
  CheckScalars(op, call, 0);
  const Windows s = {i[0], i[1], i[2], i[3], i[4], i[5], i[3], i[6], i[7], i[8], i[9], i[10], i[11], i[12], i[13], 1};
  CheckReach(op, s);
  CheckCounts(op, call, 1, way == Way::kMax ? 1 : 2);
  const std::int64_t image = Volume(op, {s.n, s.h, s.w, s.c});
  const std::int64_t result = Volume(op, {s.n, s.p, s.q, s.c});
  const bool put = way == Way::kPut;
  const Dtype dtype = CheckOperand(op, put ? "out" : "y", call.outputs[0], Kind::kFloat, put ? image : result);
  CheckOperand(op, put ? "g" : way == Way::kTake ? "t" : "x", call.inputs[0], Exactly(dtype), put ? result : image);
  if (way != Way::kMax) CheckOperand(op, "x", call.inputs[1], Exactly(dtype), image);
  if (dtype == Dtype::kFloat32) return std::make_unique<Pooling<float>>(s, way);
  return std::make_unique<Pooling<double>>(s, way);
}

}  // namespace

std::unique_ptr<Instruction> PrepareMaxPool(const Call& call) { return PreparePooling("maxPool", call, Way::kMax); }
std::unique_ptr<Instruction> PreparePoolTake(const Call& call) { return PreparePooling("poolTake", call, Way::kTake); }
std::unique_ptr<Instruction> PreparePoolPut(const Call& call) { return PreparePooling("poolPut", call, Way::kPut); }

}  // namespace wengert
