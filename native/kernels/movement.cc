// Moving elements about: strided copies (transpose, slice, flip, pad, expand) and concatenation. Elements are moved as
// integers of their size.
#include <algorithm>
#include <cstring>
#include <vector>

#include "checks.h"
#include "rooms.h"

namespace wengert {

namespace {

// A loop level of a strided copy: how often, and the steps in source and destination.
struct Level {
  std::int64_t count, src, dst;
};

// Extents are summed where they may exceed 64 bits; what is compared with a length is small again.
typedef __int128 Wide;

std::string Text(Wide value) {
  const Wide most = INT64_MAX;
  return std::to_string(static_cast<std::int64_t>(std::clamp(value, -most, most)));
}

// Refuses destinations that coincide or lie outside, and sources outside; counts are positive.
void CheckReach(const std::vector<Level>& levels, std::int64_t src, std::int64_t dst, const Call& call) {
  Wide low = src;
  Wide high = src;
  std::vector<Level> nested;
  for (const Level& level : levels) {
    (level.src < 0 ? low : high) += static_cast<Wide>(level.count - 1) * level.src;
    if (level.count > 1) nested.push_back(level);
  }
  std::sort(nested.begin(), nested.end(), [](const Level& a, const Level& b) { return a.dst < b.dst; });
  Wide extent = 1;
  for (const Level& level : nested) {
    if (level.dst < extent) Refuse("copy", "destination strides that nest (at least " + Text(extent) + ")", level.dst);
    extent += static_cast<Wide>(level.count - 1) * level.dst;
    if (extent > kSafe) Refuse("copy", "an exact extent", Text(extent));
  }
  const Wide top = dst + extent - 1;
  const std::int64_t x = call.inputs[0].length;
  const std::int64_t out = call.outputs[0].length;
  if (low < 0 || high >= x) Refuse("copy", "sources in 0 … " + std::to_string(x - 1), Text(low) + " … " + Text(high));
  if (dst < 0 || top >= out) {
    Refuse("copy", "destinations in 0 … " + std::to_string(out - 1), std::to_string(dst) + " … " + Text(top));
  }
}

// Drops levels of one turn and joins neighbours that step through memory as one; the innermost comes last.
std::vector<Level> Simplify(const std::vector<Level>& levels) {
  std::vector<Level> kept;
  for (const Level& level : levels) {
    if (level.count == 1) continue;
    if (!kept.empty() && kept.back().src == level.src * level.count && kept.back().dst == level.dst * level.count) {
      kept.back() = {kept.back().count * level.count, level.src, level.dst};
    } else {
      kept.push_back(level);
    }
  }
  return kept;
}

// T has the size of an element.
template <class T>
class Copy final : public Instruction {
 public:
  Copy(std::vector<Level> levels, std::int64_t src, std::int64_t dst, bool empty, bool filled, T fill,
       std::int64_t length)
      : src_(src), dst_(dst), empty_(empty), filled_(filled), fill_(fill), length_(length) {
    if (empty_) return;
    // The last two levels are a plane, written along memory where either of them is.
    if (!levels.empty()) {
      inner_ = levels.back();
      levels.pop_back();
    }
    if (!levels.empty()) {
      outer_ = levels.back();
      levels.pop_back();
    }
    levels_ = std::move(levels);
    if (inner_.dst != 1 && outer_.dst == 1) std::swap(inner_, outer_);
    blocked_ = inner_.dst == 1 && outer_.src == 1 && inner_.src != 1 && inner_.count >= 8 && outer_.count >= 8;
  }

  bool Run(void* const* operands, Context&) const override {
    T* out = static_cast<T*>(operands[0]);
    if (filled_) std::fill(out, out + length_, fill_);
    if (!empty_) Walk(0, out + dst_, static_cast<const T*>(operands[1]) + src_);
    return true;
  }

 private:
  void Walk(std::size_t depth, T* out, const T* x) const {
    if (depth == levels_.size()) {
      Plane(out, x);
      return;
    }
    const Level& level = levels_[depth];
    for (std::int64_t i = 0; i < level.count; i++) Walk(depth + 1, out + i * level.dst, x + i * level.src);
  }

  void Plane(T* out, const T* x) const {
    if (blocked_) {
      Transpose(out, x);
      return;
    }
    for (std::int64_t i = 0; i < outer_.count; i++) Line(inner_.count, out + i * outer_.dst, x + i * outer_.src);
  }

  void Line(std::int64_t count, T* out, const T* x) const {
    const std::int64_t src = inner_.src;
    const std::int64_t dst = inner_.dst;
    if (dst == 1) {
      if (src == 1) {
        std::memcpy(out, x, static_cast<std::size_t>(count) * sizeof(T));
      } else if (src == 0) {
        std::fill(out, out + count, *x);
      } else {
        for (std::int64_t j = 0; j < count; j++) out[j] = x[j * src];
      }
    } else {
      for (std::int64_t j = 0; j < count; j++) out[j * dst] = x[j * src];
    }
  }

  // Reads along one level, writes along the other: in square blocks, so that every line fetched is used whole.
  void Transpose(T* out, const T* x) const {
    constexpr std::int64_t kBlock = 16;
    for (std::int64_t i = 0; i < outer_.count; i += kBlock) {
      const std::int64_t rows = std::min(kBlock, outer_.count - i);
      for (std::int64_t j = 0; j < inner_.count; j += kBlock) {
        const std::int64_t cols = std::min(kBlock, inner_.count - j);
        for (std::int64_t r = 0; r < rows; r++) {
          T* to = out + (i + r) * outer_.dst + j;
          const T* from = x + (i + r) + j * inner_.src;
          for (std::int64_t c = 0; c < cols; c++) to[c] = from[c * inner_.src];
        }
      }
    }
  }

  std::vector<Level> levels_;
  Level outer_{1, 0, 0};
  Level inner_{1, 1, 1};
  std::int64_t src_, dst_;
  bool empty_, filled_;
  bool blocked_ = false;
  T fill_;
  std::int64_t length_;
};

// The bits of a value in an element type: to int32 truncated and saturating, to bool whether it is not 0.
template <class T>
T FillBits(Dtype dtype, double value) {
  T bits = 0;
  switch (dtype) {
    case Dtype::kFloat32: {
      const float x = static_cast<float>(value);
      std::memcpy(&bits, &x, std::min(sizeof(x), sizeof(bits)));
      break;
    }
    case Dtype::kFloat64: std::memcpy(&bits, &value, std::min(sizeof(value), sizeof(bits))); break;
    case Dtype::kInt32: {
      const std::int32_t x =
          value != value ? 0 : static_cast<std::int32_t>(std::clamp(value, -2147483648.0, 2147483647.0));
      std::memcpy(&bits, &x, std::min(sizeof(x), sizeof(bits)));
      break;
    }
    default: bits = static_cast<T>(value != 0);
  }
  return bits;
}

template <class T>
class Concat final : public Instruction {
 public:
  Concat(std::size_t outer, std::vector<std::size_t> runs) : outer_(outer), runs_(std::move(runs)) {
    for (std::size_t run : runs_) row_ += run;
  }

  bool Run(void* const* operands, Context&) const override {
    T* out = static_cast<T*>(operands[0]);
    if (row_ == 0) return true;
    for (std::size_t i = 0; i < runs_.size(); i++) {
      const std::size_t run = runs_[i];
      const T* x = static_cast<const T*>(operands[1 + i]);
      if (run == 0) continue;
      for (std::size_t o = 0; o < outer_; o++) std::memcpy(out + o * row_, x + o * run, run * sizeof(T));
      out += run;
    }
    return true;
  }

 private:
  std::size_t outer_;
  std::vector<std::size_t> runs_;  // elements of a row of each input
  std::size_t row_ = 0;            // and of the output
};

}  // namespace

std::unique_ptr<Instruction> PrepareCopy(const Call& call) {
  const char* op = "copy";
  const std::int64_t* ints = CheckInts(op, call, 4, true);
  const std::int64_t rank = ints[0];
  if (rank < 0 || rank > static_cast<std::int64_t>(call.int_count))
    Refuse(op, "a rank of 0 or more, with its integers", rank);
  CheckInts(op, call, static_cast<std::size_t>(4 + 3 * rank));
  if (ints[1] != 0 && ints[1] != 1) Refuse(op, "fill of 0 or 1", ints[1]);
  CheckCounts(op, call, 1, 1);
  const double* scalars = CheckScalars(op, call, 1);
  const Dtype dtype = call.inputs[0].dtype;
  const std::int64_t length = call.outputs[0].length;
  CheckOperand(op, "out", call.outputs[0], Exactly(dtype), length);
  const std::int64_t* dims = ints + 2;
  const std::int64_t* src = dims + rank;
  const std::int64_t* dst = src + 1 + rank;
  std::vector<Level> levels;
  bool empty = false;
  for (std::int64_t i = 0; i < rank; i++) {
    if (dims[i] < 0) Refuse(op, "dimensions of 0 or more", dims[i]);
    empty = empty || dims[i] == 0;
    levels.push_back({dims[i], src[1 + i], dst[1 + i]});
  }
  std::int64_t count = empty ? 0 : 1;
  if (!empty) {
    for (std::int64_t i = 0; i < rank; i++) count = Volume(op, {count, dims[i]});
    CheckReach(levels, src[0], dst[0], call);
    levels = Simplify(levels);
  }
  const bool filled = ints[1] == 1 && count < length;
  const auto make = [&](auto bits) -> std::unique_ptr<Instruction> {
    using T = decltype(bits);
    return std::make_unique<Copy<T>>(levels, src[0], dst[0], empty, filled, FillBits<T>(dtype, scalars[0]), length);
  };
  switch (SizeOf(dtype)) {
    case 1: return make(std::uint8_t{});
    case 4: return make(std::uint32_t{});
    default: return make(std::uint64_t{});
  }
}

std::unique_ptr<Instruction> PrepareConcat(const Call& call) {
  const char* op = "concat";
  const std::size_t k = call.input_count;
  if (k == 0) Refuse(op, "1 or more inputs", 0);
  const std::int64_t* ints = CheckDims(op, call, 2 + k);
  CheckScalars(op, call, 0);
  CheckCounts(op, call, 1, k);
  const Dtype dtype = call.outputs[0].dtype;
  const std::int64_t outer = ints[0];
  const std::int64_t inner = ints[1];
  std::int64_t total = 0;
  for (std::size_t i = 0; i < k; i++) {
    if (ints[2 + i] > kSafe - total) Refuse(op, "sizes with an exact sum", ints[2 + i]);
    total += ints[2 + i];
  }
  const std::int64_t size = Volume(op, {outer, total, inner});
  CheckOperand(op, "out", call.outputs[0], Exactly(dtype), size);
  std::vector<std::size_t> runs;
  for (std::size_t i = 0; i < k; i++) {
    CheckOperand(op, ("input " + std::to_string(i)).c_str(), call.inputs[i], Exactly(dtype),
                 Volume(op, {outer, ints[2 + i], inner}));
    runs.push_back(size == 0 ? 0 : static_cast<std::size_t>(ints[2 + i] * inner));
  }
  const std::size_t rows = size == 0 ? 0 : static_cast<std::size_t>(outer);
  switch (SizeOf(dtype)) {
    case 1: return std::make_unique<Concat<std::uint8_t>>(rows, runs);
    case 4: return std::make_unique<Concat<std::uint32_t>>(rows, runs);
    default: return std::make_unique<Concat<std::uint64_t>>(rows, runs);
  }
}

}  // namespace wengert
