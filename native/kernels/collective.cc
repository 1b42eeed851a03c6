// What meets the other processes of a world. Inputs are laid one after the other in the output, so that all of them are
// one collective; the sums are made where they lie. Between hosts, where a sum takes long, most of a training's is begun piece by
// piece, from the end: a backward pass makes the last layers' gradients first.
#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "../mpi/world.h"
#include "checks.h"
#include "thresholds.h"

namespace wengert {

namespace {

template <class T>
class AllReduce final : public Instruction {
 public:
  AllReduce(std::vector<std::int64_t> runs, bool votes) : runs_(std::move(runs)), votes_(votes) {
    for (std::int64_t run : runs_) {
      starts_.push_back(length_);
      length_ += run;
    }
    if (votes_ && World::instance().least_piece() > 0) Cut(World::instance().least_piece());
  }

  bool Meets() const override { return true; }
  bool Votes() const override { return votes_; }

  // An input may lie where its sum will.
  std::int64_t Within(std::size_t input) const override { return starts_[input]; }

  std::vector<Piece> Pieces() const override { return pieces_; }

  void Begin(std::size_t pieces, void* const* operands, Context& context) const override {
    for (; context.begun < pieces; context.begun++) {
      const auto [begin, end] = pieces_[context.begun];
      Lay(begin, end, operands);
      World::instance().Start(ChannelOf(context), static_cast<T*>(operands[0]) + begin, end - begin, kDoubles);
    }
  }

  bool Run(void* const* operands, Context& context) const override {
    Begin(pieces_.size(), operands, context);
    const std::int64_t rest = pieces_.empty() ? 0 : pieces_.front().end;
    Lay(rest, length_, operands);
    T* const out = static_cast<T*>(operands[0]);
    T& vote = out[length_ - 1];
    if (votes_) vote = context.failed ? std::numeric_limits<T>::quiet_NaN() : context.vote ? T{1} : T{0};
    // Where the world was left, the process ends: nobody looks at the result.
    if (pieces_.empty()) {
      World::instance().Sum(ChannelOf(context), out, length_, kDoubles);
    } else {
      World::instance().Finish(ChannelOf(context), out + rest, length_ - rest, kDoubles);
      context.begun = 0;
    }
    if (!votes_) return true;
    context.voted = true;
    context.agreed = vote > 0;
    context.broken = vote != vote;
    return !context.broken;
  }

 private:
  static constexpr bool kDoubles = sizeof(T) == 8;
  static World::Channel ChannelOf(const Context& context) { return context.trains ? World::kTraining : World::kUser; }

  // What is small at the end, the vote with it, is no piece. Only by what all processes have in common.
  void Cut(std::int64_t least) {
    const std::int64_t size = static_cast<std::int64_t>(sizeof(T));
    std::int64_t body = length_;
    for (std::size_t i = runs_.size(); i > 0 && length_ - starts_[i - 1] <= length_ / thresholds::kRestOfSum; i--) body = starts_[i - 1];
    const std::int64_t count = std::min(body * size / least, thresholds::kMostPieces);
    if (body == length_ || count < 2) return;
    const std::int64_t each = (body + count - 1) / count;
    for (std::int64_t end = body; end > 0; end -= each) pieces_.push_back({std::max<std::int64_t>(end - each, 0), end});
  }

  // Brings what lies elsewhere to the elements begin … end − 1.
  void Lay(std::int64_t begin, std::int64_t end, void* const* operands) const {
    for (std::size_t i = 0; i < runs_.size(); i++) {
      const std::int64_t from = std::max(begin, starts_[i]);
      const std::int64_t to = std::min(end, starts_[i] + runs_[i]);
      if (from >= to) continue;
      T* const at = static_cast<T*>(operands[0]) + from;
      const T* const x = static_cast<const T*>(operands[1 + i]) + (from - starts_[i]);
      if (at != x) std::memcpy(at, x, static_cast<std::size_t>(to - from) * sizeof(T));
    }
  }

  std::vector<std::int64_t> runs_;    // elements of each input
  std::vector<std::int64_t> starts_;  // and where they begin in the output
  bool votes_;
  std::int64_t length_ = 0;
  std::vector<Piece> pieces_;
};

}  // namespace

std::unique_ptr<Instruction> PrepareAllReduce(const Call& call) {
  const char* op = "allReduce";
  const std::size_t k = call.input_count;
  if (k == 0) Refuse(op, "1 or more inputs", 0);
  const std::int64_t* ints = CheckDims(op, call, 1 + k);
  if (ints[0] > 1) Refuse(op, "vote of 0 or 1", ints[0]);
  const bool votes = ints[0] == 1;
  if (votes && ints[k] != 1) Refuse(op, "one element for the vote", ints[k]);
  CheckScalars(op, call, 0);
  CheckCounts(op, call, 1, k);
  const Dtype dtype = call.outputs[0].dtype;
  std::int64_t total = 0;
  for (std::size_t i = 0; i < k; i++) {
    if (ints[1 + i] > kSafe - total) Refuse(op, "sizes with an exact sum", ints[1 + i]);
    total += ints[1 + i];
  }
  if (!IsFloat(dtype)) Refuse(op, "out of type float32 or float64", NameOf(dtype));
  CheckOperand(op, "out", call.outputs[0], Exactly(dtype), total);
  std::vector<std::int64_t> runs;
  for (std::size_t i = 0; i < k; i++) {
    CheckOperand(op, ("input " + std::to_string(i)).c_str(), call.inputs[i], Exactly(dtype), ints[1 + i]);
    runs.push_back(ints[1 + i]);
  }
  if (dtype == Dtype::kFloat64) return std::make_unique<AllReduce<double>>(runs, votes);
  return std::make_unique<AllReduce<float>>(runs, votes);
}

}  // namespace wengert
