// Dropout: elements are zeroed by a counter-based stream, so that a call gives the same mask wherever and whenever it
// runs. Operands: out[rows, n], x[rows, n], counter[4].
#include <cstdint>
#include <memory>

#include "checks.h"
#include "kernel.h"
#include "random.h"
#include "rooms.h"

namespace wengert {
namespace {

constexpr std::int64_t kWords = std::int64_t{1} << 32;
constexpr std::int64_t kLayers = std::int64_t{1} << 24;
constexpr std::uint32_t kPurpose = 2;  // purposes.dropout in lib/util/random.ts

template <typename T>
class Dropout final : public Instruction {
 public:
  Dropout(std::int64_t rows, std::int64_t n, std::uint32_t purpose, std::uint32_t first, double rate)
      : rows_(rows), n_(n), purpose_(purpose), first_(first), threshold_(rate * static_cast<double>(kWords)),
        scale_(rate < 1 ? 1 / (1 - rate) : 0) {}

  bool Run(void* const* operands, Context&) const override {
    T* out = static_cast<T*>(operands[0]);
    const T* x = static_cast<const T*>(operands[1]);
    const std::int32_t* counter = static_cast<const std::int32_t*>(operands[2]);
    const std::uint32_t key[2] = {static_cast<std::uint32_t>(counter[0]), static_cast<std::uint32_t>(counter[1])};
    const std::uint32_t update = static_cast<std::uint32_t>(counter[2]);
    const std::uint32_t row = static_cast<std::uint32_t>(counter[3]) + first_;
    std::uint32_t words[4];
    for (std::int64_t r = 0; r < rows_; r++, out += n_, x += n_) {
      for (std::int64_t j = 0; j < n_; j += 4) {
        const std::uint32_t place[4] = {static_cast<std::uint32_t>(j >> 2), row + static_cast<std::uint32_t>(r), update,
                                        purpose_};
        Philox(words, place, key);
        const std::int64_t lanes = n_ - j < 4 ? n_ - j : 4;
        for (std::int64_t i = 0; i < lanes; i++) {
          out[j + i] = words[i] >= threshold_ ? static_cast<T>(x[j + i] * scale_) : T{0};
        }
      }
    }
    return true;
  }

  bool InPlace(std::size_t input) const override { return input == 0; }

 private:
  std::int64_t rows_, n_;
  std::uint32_t purpose_, first_;
  double threshold_, scale_;
};

}  // namespace

std::unique_ptr<Instruction> PrepareDropout(const Call& call) {
  const char* op = "dropout";
  const std::int64_t* ints = CheckDims(op, call, 4);
  const double rate = CheckScalars(op, call, 1)[0];
  CheckCounts(op, call, 1, 2);
  const std::int64_t rows = ints[0], n = ints[1], layer = ints[2], first = ints[3];
  const std::int64_t size = Volume(op, {rows, n});
  const Dtype dtype = CheckOperand(op, "x", call.inputs[0], Kind::kFloat, size);
  CheckOperand(op, "out", call.outputs[0], Exactly(dtype), size);
  CheckOperand(op, "counter", call.inputs[1], Kind::kInt32, 4);
  if (layer >= kLayers) Refuse(op, "a layer below 2^24", layer);
  if (first >= kWords || rows >= kWords || n >= 4 * kWords) Refuse(op, "rows and words within 32 bits", n);
  if (!(rate >= 0 && rate <= 1)) Refuse(op, "a rate in [0, 1]", std::to_string(rate));
  const std::uint32_t purpose = kPurpose + 256 * static_cast<std::uint32_t>(layer);
  const std::uint32_t from = static_cast<std::uint32_t>(first);
  if (dtype == Dtype::kFloat32) return std::make_unique<Dropout<float>>(rows, n, purpose, from, rate);
  return std::make_unique<Dropout<double>>(rows, n, purpose, from, rate);
}

}  // namespace wengert
