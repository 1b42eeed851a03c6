// Sorting along the last axis: where each element of the order lies. Equal elements keep their order; NaN counts as the
// largest: places break the ties. It is a heap sort, which neither allocates nor, where another thread changes the values
// meanwhile, leaves its range (std::sort does: its inner loops trust the comparison).
#include <algorithm>

#include "checks.h"
#include "rooms.h"

namespace wengert {

namespace {

template <class T>
class Argsort final : public Instruction {
 public:
  Argsort(std::size_t outer, std::size_t n, bool descending) : outer_(outer), n_(n), descending_(descending) {}

  bool Run(void* const* operands, Context&) const override {
    std::int32_t* out = static_cast<std::int32_t*>(operands[0]);
    const T* x = static_cast<const T*>(operands[1]);
    for (std::size_t o = 0; o < outer_; o++, x += n_, out += n_) {
      for (std::size_t j = 0; j < n_; j++) out[j] = static_cast<std::int32_t>(j);
      if (descending_) {
        Sort(out, [x](std::int32_t a, std::int32_t b) { return Before(x[b], x[a]) || (!Before(x[a], x[b]) && a < b); });
      } else {
        Sort(out, [x](std::int32_t a, std::int32_t b) { return Before(x[a], x[b]) || (!Before(x[b], x[a]) && a < b); });
      }
    }
    return true;
  }

 private:
  template <class Less>
  void Sort(std::int32_t* places, const Less& less) const {
    std::make_heap(places, places + n_, less);
    std::sort_heap(places, places + n_, less);
  }

  // A strict order of all values: NaN after everything, equal to itself.
  static bool Before(T p, T q) { return p < q || (p == p && q != q); }

  std::size_t outer_, n_;
  bool descending_;
};

}  // namespace

std::unique_ptr<Instruction> PrepareArgsort(const Call& call) {
  const char* op = "argsort";
  const std::int64_t* ints = CheckDims(op, call, 3);
  const std::int64_t outer = ints[0], n = ints[1], descending = ints[2];
  CheckScalars(op, call, 0);
  CheckCounts(op, call, 1, 1);
  const std::int64_t size = Volume(op, {outer, n});
  if (n > INT32_MAX) Refuse(op, "an axis of at most 2147483647 elements", n);
  CheckOperand(op, "x", call.inputs[0], Kind::kNumber, size);
  CheckOperand(op, "out", call.outputs[0], Kind::kInt32, size);
  if (descending > 1) Refuse(op, "descending as 0 or 1", descending);
  const auto make = [&](auto type) -> std::unique_ptr<Instruction> {
    return std::make_unique<Argsort<decltype(type)>>(size == 0 ? 0 : static_cast<std::size_t>(outer),
                                                     static_cast<std::size_t>(n), descending == 1);
  };
  switch (call.inputs[0].dtype) {
    case Dtype::kFloat32: return make(float{});
    case Dtype::kFloat64: return make(double{});
    default: return make(std::int32_t{});
  }
}

}  // namespace wengert
