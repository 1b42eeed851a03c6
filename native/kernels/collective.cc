// What meets the other processes of a world. Inputs are laid one after the other in the output, so that all of them are
// one collective; the sums are made where they lie.
#include <cstring>
#include <limits>
#include <vector>

#include "../mpi/world.h"
#include "checks.h"

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
  }

  bool Meets() const override { return true; }
  bool Votes() const override { return votes_; }

  // An input may lie where its sum will.
  std::int64_t Within(std::size_t input) const override { return starts_[input]; }

  bool Run(void* const* operands, Context& context) const override {
    T* const out = static_cast<T*>(operands[0]);
    T* to = out;
    for (std::size_t i = 0; i < runs_.size(); i++) {
      const std::size_t bytes = static_cast<std::size_t>(runs_[i]) * sizeof(T);
      if (bytes > 0 && to != operands[1 + i]) std::memcpy(to, operands[1 + i], bytes);
      to += runs_[i];
    }
    T& vote = out[length_ - 1];
    if (votes_) vote = context.failed ? std::numeric_limits<T>::quiet_NaN() : context.vote ? T{1} : T{0};
    // Where the world was left, the process ends: nobody looks at the result.
    World::instance().Sum(context.trains ? World::kTraining : World::kUser, out, length_, sizeof(T) == 8);
    if (!votes_) return true;
    context.voted = true;
    context.agreed = vote > 0;
    context.broken = vote != vote;
    return !context.broken;
  }

 private:
  std::vector<std::int64_t> runs_;    // elements of each input
  std::vector<std::int64_t> starts_;  // and where they begin in the output
  bool votes_;
  std::int64_t length_ = 0;
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
