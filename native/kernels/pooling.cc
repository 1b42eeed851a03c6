// Extremes of windows, channels last: cells are compared for all channels of a position at once, and the number of the
// winning cell is kept beside the value while a window lasts.
#include <algorithm>
#include <limits>

#include "isa.h"
#include "rooms.h"
#include "windows.h"
#include "../program/pool.h"

namespace wengert {

namespace {

constexpr double kLeastForPool = 200000;  // comparisons

enum class Way { kMax, kTake, kPut };

template <class F>
class Pooling final : public Instruction {
 public:
  Pooling(const Windows& s, Way way) : s_(s), way_(way), table_(WENGERT_TABLE(Conv, F)) {
    const double work = static_cast<double>(s.n) * static_cast<double>(s.result()) * static_cast<double>(s.kh * s.kw);
    const std::int64_t most = work < kLeastForPool ? 1 : Pool::threads();
    parts_ = static_cast<int>(std::max<std::int64_t>(1, std::min(most, s.n)));
    part_ = (static_cast<std::size_t>(s.c) * (sizeof(F) + sizeof(PoolCell<F>)) + 63) / 64 * 64;
  }

  std::size_t Workspace() const override { return static_cast<std::size_t>(parts_) * part_; }

  bool Run(void* const* operands, Context& context) const override {
    auto task = [&](int part) {
      char* const own = static_cast<char*>(context.workspace) + static_cast<std::size_t>(part) * part_;
      for (std::int64_t n = s_.n * part / parts_; n < s_.n * (part + 1) / parts_ && !Pool::Leaving(); n++) {
        Image(n, operands, reinterpret_cast<F*>(own),
              reinterpret_cast<PoolCell<F>*>(own + static_cast<std::size_t>(s_.c) * sizeof(F)));
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
  // Calls visit(offset in the image, number) for the cells of a window on the image.
  template <class Visit>
  void Cells(std::int64_t p, std::int64_t q, const Visit& visit) const {
    for (std::int64_t a = 0; a < s_.kh; a++) {
      const std::int64_t row = p * s_.stride_h + a * s_.step_h - s_.pad_h;
      if (row < 0 || row >= s_.h) continue;
      for (std::int64_t b = 0; b < s_.kw; b++) {
        const std::int64_t column = q * s_.stride_w + b * s_.step_w - s_.pad_w;
        if (column < 0 || column >= s_.w) continue;
        visit((row * s_.w + column) * s_.c, static_cast<PoolCell<F>>(a * s_.kw + b));
      }
    }
  }

  void Image(std::int64_t n, void* const* operands, F* best, PoolCell<F>* cell) const {
    const std::size_t c = static_cast<std::size_t>(s_.c);
    F* out = static_cast<F*>(operands[0]) + n * (way_ == Way::kPut ? s_.image() : s_.result());
    const F* values = static_cast<const F*>(operands[1]) + n * (way_ == Way::kPut ? s_.result() : s_.image());
    const F* x = way_ == Way::kMax ? values : static_cast<const F*>(operands[2]) + n * s_.image();
    if (way_ == Way::kPut) std::fill(out, out + s_.image(), F(0));
    for (std::int64_t p = 0; p < s_.p; p++) {
      for (std::int64_t q = 0; q < s_.q; q++) {
        const std::int64_t at = (p * s_.q + q) * s_.c;
        F* const top = way_ == Way::kMax ? out + at : best;
        bool first = true;
        Cells(p, q, [&](std::int64_t offset, PoolCell<F> number) {
          if (first) {
            std::copy(x + offset, x + offset + c, top);
            std::fill(cell, cell + c, number);
            first = false;
          } else {
            table_.improve(c, top, cell, x + offset, number);
          }
        });
        if (way_ == Way::kMax) {
          if (first) std::fill(top, top + c, -std::numeric_limits<F>::infinity());
        } else if (way_ == Way::kTake) {
          std::fill(out + at, out + at + c, F(0));
          Cells(p, q, [&](std::int64_t offset, PoolCell<F> number) {
            table_.take_cell(c, out + at, cell, values + offset, number);
          });
        } else {
          Cells(p, q, [&](std::int64_t offset, PoolCell<F> number) {
            table_.put_cell(c, out + offset, cell, values + at, number);
          });
        }
      }
    }
  }

  const Windows s_;
  const Way way_;
  const ConvTable<F>& table_;
  int parts_ = 1;
  std::size_t part_ = 0;  // bytes of each part's workspace
};

std::unique_ptr<Instruction> PreparePooling(const char* op, const Call& call, Way way) {
  const std::int64_t* i = CheckDims(op, call, 14);
  CheckScalars(op, call, 0);
  const Windows s = {i[0], i[1], i[2], i[3], i[4], i[5], i[3], i[6], i[7], i[8], i[9], i[10], i[11], i[12], i[13], 1};
  CheckReach(op, s);
  if (s.kh > 0 && s.kw > std::numeric_limits<std::int32_t>::max() / s.kh) Refuse(op, "windows of fewer cells", s.kw);
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
