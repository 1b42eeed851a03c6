// Dropout: elements are zeroed by a counter-based stream, so that a call gives the same mask wherever and whenever it
// runs. Operands: out[rows, n], x[rows, n], counter[4].
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>

#include "checks.h"
#include "isa.h"
#include "kernel.h"
#include "rooms.h"

namespace wengert {
namespace {

constexpr std::int64_t kWords = std::int64_t{1} << 32;
constexpr std::int64_t kLayers = std::int64_t{1} << 24;
constexpr std::uint32_t kPurpose = 2;  // purposes.dropout in lib/util/random.ts

constexpr int kBlocks = 16;            // Philox blocks made side by side
constexpr int kRun = 4 * kBlocks;      // words of them

// The words first .. first + kRun - 1 of a stream, as Philox in random.cc makes them four at a time: here lane by lane,
// so that the compiler makes several blocks in one vector.
void Words(std::uint32_t out[kRun], std::uint32_t block, std::uint32_t row, std::uint32_t update, std::uint32_t purpose,
           std::uint32_t k0, std::uint32_t k1) {
  std::uint32_t lanes[4][kBlocks];
  WENGERT_IVDEP
  for (int i = 0; i < kBlocks; i++) {
    std::uint32_t c0 = block + static_cast<std::uint32_t>(i), c1 = row, c2 = update, c3 = purpose, key0 = k0, key1 = k1;
    for (int round = 0; round < 10; round++) {
      const std::uint64_t product0 = std::uint64_t{0xd2511f53} * c0;
      const std::uint64_t product1 = std::uint64_t{0xcd9e8d57} * c2;
      c0 = static_cast<std::uint32_t>(product1 >> 32) ^ c1 ^ key0;
      c1 = static_cast<std::uint32_t>(product1);
      c2 = static_cast<std::uint32_t>(product0 >> 32) ^ c3 ^ key1;
      c3 = static_cast<std::uint32_t>(product0);
      key0 += 0x9e3779b9;
      key1 += 0xbb67ae85;
    }
    lanes[0][i] = c0;
    lanes[1][i] = c1;
    lanes[2][i] = c2;
    lanes[3][i] = c3;
  }
  for (int i = 0; i < kRun; i++) out[i] = lanes[i & 3][i >> 2];
}

template <typename T>
class Dropout final : public Instruction {
 public:
  Dropout(std::int64_t rows, std::int64_t n, std::uint32_t purpose, std::uint32_t first, double rate)
      : rows_(rows), n_(n), purpose_(purpose), first_(first),
        threshold_(static_cast<std::uint64_t>(std::ceil(rate * static_cast<double>(kWords)))),
        scale_(rate < 1 ? 1 / (1 - rate) : 0) {}

  bool Run(void* const* operands, Context&) const override {
    T* out = static_cast<T*>(operands[0]);
    const T* x = static_cast<const T*>(operands[1]);
    const std::int32_t* counter = static_cast<const std::int32_t*>(operands[2]);
    const std::uint32_t k0 = static_cast<std::uint32_t>(counter[0]), k1 = static_cast<std::uint32_t>(counter[1]);
    const std::uint32_t update = static_cast<std::uint32_t>(counter[2]);
    const std::uint32_t row = static_cast<std::uint32_t>(counter[3]) + first_;
    const bool none = threshold_ >= static_cast<std::uint64_t>(kWords);
    const std::uint32_t threshold = static_cast<std::uint32_t>(threshold_);
    std::uint32_t words[kRun];
    for (std::int64_t r = 0; r < rows_; r++, out += n_, x += n_) {
      for (std::int64_t j = 0; j < n_; j += kRun) {
        Words(words, static_cast<std::uint32_t>(j >> 2), row + static_cast<std::uint32_t>(r), update, purpose_, k0, k1);
        const int lanes = n_ - j < kRun ? static_cast<int>(n_ - j) : kRun;
        WENGERT_IVDEP
        for (int i = 0; i < lanes; i++) {
          const T kept = static_cast<T>(x[j + i] * scale_);
          // Chosen by mask: half of all branches would be mispredicted.
          out[j + i] = words[i] >= threshold ? kept : T{0};
        }
        if (none) std::fill_n(out + j, lanes, T{0});
      }
    }
    return true;
  }

  bool InPlace(std::size_t input) const override { return input == 0; }

 private:
  std::int64_t rows_, n_;
  std::uint32_t purpose_, first_;
  std::uint64_t threshold_;
  double scale_;
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
