#include "runner.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "pool.h"
#include "../kernels/thresholds.h"
#include "../mpi/world.h"

namespace wengert {

namespace {

const char* const kWhat = "runner";

const double kNothing = std::numeric_limits<double>::quiet_NaN();

std::string InputText(std::size_t input) { return "input " + std::to_string(input); }

}  // namespace

RunnerArray RunnerArray::Copied(Dtype dtype, std::int64_t length, const void* data) {
  const std::size_t bytes = static_cast<std::size_t>(length) * SizeOf(dtype);
  RunnerArray array;
  array.copy = Memory(bytes);
  if (bytes > 0) std::memcpy(array.copy.data(), data, bytes);
  array.data = array.copy.data();
  array.given = true;
  array.dtype = dtype;
  array.length = length;
  return array;
}

RunnerArray RunnerArray::Borrowed(Dtype dtype, std::int64_t length, void* data) {
  RunnerArray array;
  array.data = data;
  array.given = true;
  array.dtype = dtype;
  array.length = length;
  return array;
}

Block Block::Parse(const double* numbers, std::size_t count) {
  Words words(kWhat, numbers, count);
  Block block;
  block.epochs = words.Count("epochs");
  block.checked = words.Flag("checked");
  while (words.left() > 0) {
    Segment segment;
    segment.program = static_cast<std::size_t>(words.Count("the program of a segment"));
    segment.repeat = words.Count("the repeats of a segment");
    block.segments.push_back(segment);
  }
  return block;
}

Runner::Runner(std::shared_ptr<State> state, std::vector<std::shared_ptr<const Program>> programs,
               std::vector<RunnerArray> arrays)
    : state_(std::move(state)), programs_(std::move(programs)), arrays_(std::move(arrays)), cost_(kNothing) {
  if (programs_.empty()) Malform(kWhat, "1 or more programs", "0");
  std::int64_t report = 0;
  for (const auto& program : programs_) {
    if (static_cast<std::size_t>(program->state_bytes) > state_->bytes()) {
      Malform(kWhat, "a state of " + std::to_string(program->state_bytes) + " bytes or more",
              std::to_string(state_->bytes()));
    }
    const std::vector<ProgramInput>& first = programs_[0]->inputs;
    bool same = program->inputs.size() == first.size();
    for (std::size_t i = 0; same && i < first.size(); i++) same = program->inputs[i].dtype == first[i].dtype;
    if (!same) Malform(kWhat, "programs with one list of inputs", "lists that differ");
    report = std::max(report, program->report);
    meets_ = meets_ || program->meets;
  }
  if (arrays_.size() != programs_[0]->inputs.size()) {
    Malform(kWhat, std::to_string(programs_[0]->inputs.size()) + " inputs", std::to_string(arrays_.size()));
  }
  for (std::size_t i = 0; i < arrays_.size(); i++) {
    if (!arrays_[i].given) continue;
    CheckArray(i, arrays_[i], "array");
    for (std::size_t p = 0; p < programs_.size(); p++) {
      if (arrays_[i].length < InputAt(p, i).length) {
        Malform(kWhat, std::to_string(InputAt(p, i).length) + " elements or more for " + InputText(i),
                std::to_string(arrays_[i].length));
      }
    }
  }
  row_.resize(static_cast<std::size_t>(report));
  state_->AddRunner();
}

Runner::~Runner() { state_->DropRunner(); }

void Runner::CheckArray(std::size_t input, const RunnerArray& array, const char* what) const {
  if (array.dtype == InputAt(0, input).dtype) return;
  Malform(kWhat, std::string("an ") + what + " of its type for " + InputText(input), "another type");
}

// Every run of the block must see the input inside its array. In floating point, as exact as it must be: sums of
// integers below 2^53 are exact, and what is rounded lies beyond every array. Cursors of windows only grow, so the last
// epoch reaches farthest; bound inputs see every epoch alike.
void Runner::CheckReach(const Block& block, std::size_t input, std::int64_t length) const {
  if (block.epochs == 0) return;
  double cursor = 0;
  if (block.windows[input].given) {
    double epoch = 0;
    for (const Segment& segment : block.segments) {
      epoch += static_cast<double>(segment.repeat) * static_cast<double>(InputAt(segment.program, input).advance);
    }
    cursor = static_cast<double>(block.epochs - 1) * epoch;
  }
  for (const Segment& segment : block.segments) {
    if (segment.repeat == 0) continue;
    const ProgramInput& declared = InputAt(segment.program, input);
    const double advance = static_cast<double>(declared.advance);
    const double repeat = static_cast<double>(segment.repeat);
    const double reach = cursor + (repeat - 1) * advance + static_cast<double>(declared.length);
    if (!(reach <= static_cast<double>(length))) {
      Malform(kWhat,
              TextOf(reach) + " elements or more of " + InputText(input) + " for " + std::to_string(block.epochs) +
                  " epochs",
              std::to_string(length));
    }
    cursor += repeat * advance;
  }
}

// A writable input shares no memory with another.
void Runner::CheckWritable(const Block& block) const {
  const auto array = [&](std::size_t i) -> const RunnerArray& {
    return block.windows[i].given ? block.windows[i] : arrays_[i];
  };
  for (std::size_t w = 0; w < arrays_.size(); w++) {
    bool writable = false;
    for (std::size_t p = 0; p < programs_.size(); p++) writable = writable || InputAt(p, w).writable;
    if (!writable) continue;
    const std::uintptr_t start = reinterpret_cast<std::uintptr_t>(array(w).data);
    const std::uintptr_t end = start + static_cast<std::uintptr_t>(array(w).length) * SizeOf(array(w).dtype);
    for (std::size_t i = 0; i < arrays_.size(); i++) {
      const std::uintptr_t other = reinterpret_cast<std::uintptr_t>(array(i).data);
      const std::uintptr_t other_end = other + static_cast<std::uintptr_t>(array(i).length) * SizeOf(array(i).dtype);
      if (i != w && start < other_end && other < end) {
        Malform(kWhat, "the writable " + InputText(w) + " apart from the others", "memory of " + InputText(i));
      }
    }
  }
}

void Runner::Begin(Block block) {
  for (const Segment& segment : block.segments) {
    if (segment.program >= programs_.size()) {
      Malform(kWhat, "segments of programs below " + std::to_string(programs_.size()), std::to_string(segment.program));
    }
  }
  block.windows.resize(arrays_.size());
  for (std::size_t i = 0; i < arrays_.size(); i++) {
    const RunnerArray& window = block.windows[i];
    if (!window.given && !arrays_[i].given) Malform(kWhat, "a window for " + InputText(i), "none");
    if (window.given) CheckArray(i, window, "window");
    CheckReach(block, i, window.given ? window.length : arrays_[i].length);
  }
  CheckWritable(block);

  // From here on only memory can lack.
  const double rows = static_cast<double>(block.epochs) + 1;
  if (rows * static_cast<double>(row_.size()) * 8 > static_cast<double>(MemoryLimit())) throw std::bad_alloc();
  Memory report(static_cast<std::size_t>(block.epochs + 1) * row_.size() * sizeof(double));
  if (bindings_.empty()) {
    std::size_t scratch = 0;
    for (const auto& program : programs_) scratch = std::max(scratch, program->scratch_bytes());
    if (!arena_) arena_ = meets_ && World::instance().shares() ? Memory::Shared(scratch) : Memory(scratch);
    std::vector<std::unique_ptr<Binding>> bindings;
    for (const auto& program : programs_) {
      bindings.push_back(std::make_unique<Binding>(program, arena_.data(), row_.data(), &Pool::instance()));
      bindings.back()->AttachState(state_->data());
    }
    bindings_ = std::move(bindings);
  }
  pointers_.resize(arrays_.size());
  cursors_.assign(arrays_.size(), 0);
  state_->Begin();
  block_ = std::move(block);
  for (std::size_t i = 0; i < arrays_.size(); i++) {
    pointers_[i] = block_.windows[i].given ? block_.windows[i].data : arrays_[i].data;
  }
  report_ = std::move(report);
  std::fill(row_.begin(), row_.end(), 0.0);
  epoch_ = 0;
  segment_ = 0;
  index_ = 0;
  result_ = BlockResult();
  snapshot_at_ = std::chrono::steady_clock::now();
  snapshot_took_ = {};
  looked_at_ = snapshot_at_;
  stride_ = unlooked_ = 1;
  cancelled_.store(false);
  agreed_ = false;
  runs_.store(0);
  epochs_.store(0);
  cost_.store(kNothing);
}

void Runner::End() {
  block_ = Block();
  state_->End();
}

void Runner::Free() {
  bindings_.clear();
  // Sums may be under way in it: the process exits.
  if (arena_ && World::instance().afloat()) new Memory(std::move(arena_));
  arena_ = Memory();
  report_ = Memory();
  for (RunnerArray& array : arrays_) array = RunnerArray();
}

Runner::Progress Runner::progress() const {
  return {runs_.load(std::memory_order_relaxed), epochs_.load(std::memory_order_relaxed),
          cost_.load(std::memory_order_relaxed)};
}

std::size_t Runner::footprint() const {
  std::size_t bytes = arena_.bytes() + report_.bytes();
  for (const RunnerArray& array : arrays_) bytes += array.copy.bytes();
  for (const RunnerArray& window : block_.windows) bytes += window.copy.bytes();
  return bytes;
}

void Runner::Work() {
  const Pool::Place place(&abandoned_);
  // The copy is made here: a large one would hold up the event loop.
  state_->Publish();
  BlockStatus status = Loop();
  result_.epochs = epoch_;
  result_.runs = runs_.load(std::memory_order_relaxed);
  if (status == BlockStatus::kAbandoned) {
    result_.status = status;
    return;
  }
  const bool begun = segment_ > 0 || index_ > 0 || status == BlockStatus::kFailed;
  if (status != BlockStatus::kFailed) {
    if (state_->Finite()) {
      result_.kept = epoch_;
    } else {
      status = BlockStatus::kFailed;
      result_.failure.epoch = epoch_;
      result_.failure.run = index_;
      result_.failure.step = -1;
    }
  }
  result_.rows = epoch_ + (begun ? 1 : 0);
  if (begun && !row_.empty()) {
    char* const row = report_.data() + static_cast<std::size_t>(epoch_) * row_.size() * sizeof(double);
    std::memcpy(row, row_.data(), row_.size() * sizeof(double));
  }
  if (status == BlockStatus::kFailed) state_->Restore();
  result_.status = status;
}

BlockStatus Runner::Loop() {
  while (epoch_ < block_.epochs) {
    if (abandoned_.load(std::memory_order_relaxed)) return BlockStatus::kAbandoned;
    if (epoch_ > 0 && Ends()) return BlockStatus::kCancelled;
    while (segment_ < block_.segments.size()) {
      const BlockStatus status = RunSegment(block_.segments[segment_]);
      if (status != BlockStatus::kDone) return status;
      segment_++;
    }
    EndEpoch();
  }
  return BlockStatus::kDone;
}

BlockStatus Runner::RunSegment(const Segment& segment) {
  Binding& binding = *bindings_[segment.program];
  const Program& program = binding.program();
  const bool atomic = program.atomic;
  binding.AttachInputs(pointers_.data(), cursors_.data());
  std::int64_t runs = runs_.load(std::memory_order_relaxed);
  while (index_ < segment.repeat) {
    if (atomic && Ends()) return BlockStatus::kCancelled;
    if (program.meets) binding.Vote(cancelled_.load(std::memory_order_relaxed));
    const RunOutcome outcome = block_.checked ? binding.RunChecked(abandoned_) : binding.Run(abandoned_);
    if (outcome != RunOutcome::kDone) {
      if (outcome == RunOutcome::kAbandoned) return BlockStatus::kAbandoned;
      Fail(outcome, binding, segment.program);
      if (meets_ && !program.votes) PartWays(outcome);
      return BlockStatus::kFailed;
    }
    if (program.meets) agreed_ = agreed_ || binding.agreed();
    binding.Advance();
    index_++;
    runs_.store(++runs, std::memory_order_relaxed);
  }
  for (std::size_t i = 0; i < cursors_.size(); i++) cursors_[i] += index_ * program.inputs[i].advance;
  index_ = 0;
  return BlockStatus::kDone;
}

// After a failure of this process alone, in a program without a vote: comes to the next that has one, where the others wait.
void Runner::PartWays(RunOutcome outcome) {
  const std::size_t count = block_.segments.size();
  const bool more = epoch_ + 1 < block_.epochs;
  for (std::size_t s = segment_ + 1; s < (more ? 2 * count : count); s++) {
    const Segment& segment = block_.segments[s % count];
    if (segment.repeat == 0 || !programs_[segment.program]->votes) continue;
    Binding& binding = *bindings_[segment.program];
    binding.AttachInputs(pointers_.data(), nullptr);
    binding.Vote(false);
    binding.RunRest(outcome, abandoned_);
    return;
  }
}

void Runner::EndEpoch() {
  if (!row_.empty()) {
    const std::size_t bytes = row_.size() * sizeof(double);
    std::memcpy(report_.data() + static_cast<std::size_t>(epoch_) * bytes, row_.data(), bytes);
    cost_.store(row_[0], std::memory_order_relaxed);
    std::fill(row_.begin(), row_.end(), 0.0);
  }
  epoch_++;
  segment_ = 0;
  for (std::size_t i = 0; i < cursors_.size(); i++) {
    if (!block_.windows[i].given) cursors_[i] = 0;
  }
  epochs_.store(epoch_, std::memory_order_relaxed);
  // Epochs may take less than a look at the clock.
  if (--unlooked_ > 0) return;
  const auto now = std::chrono::steady_clock::now();
  stride_ = now - looked_at_ < thresholds::kLookEvery ? std::min(2 * stride_, thresholds::kMostUnlooked) : 1;
  unlooked_ = stride_;
  looked_at_ = now;
  if (now - snapshot_at_ < thresholds::kSnapshotEvery || now - snapshot_at_ < thresholds::kSnapshotShare * snapshot_took_) return;
  if (state_->Publish()) result_.kept = epoch_;
  snapshot_at_ = std::chrono::steady_clock::now();
  snapshot_took_ = snapshot_at_ - now;
}

void Runner::Fail(RunOutcome outcome, const Binding& binding, std::size_t program) {
  Failure& failure = result_.failure;
  failure.index = outcome == RunOutcome::kBadIndex;
  failure.elsewhere = outcome == RunOutcome::kElsewhere;
  failure.program = program;
  failure.epoch = epoch_;
  failure.run = index_;
  failure.step = static_cast<std::int64_t>(binding.stopped_at());
  if (failure.index) failure.bad = binding.bad_index();
}

}  // namespace wengert
