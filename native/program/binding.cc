#include "binding.h"

#include <algorithm>
#include <cstring>

#include "../mpi/world.h"

namespace wengert {

namespace {

// Tests the exponents in blocks, so that the loop inside has no branch.
template <class Bits, Bits kExponent>
bool FiniteBits(const char* data, std::int64_t length) {
  constexpr std::int64_t kBlock = 1024;
  for (std::int64_t at = 0; at < length; at += kBlock) {
    const std::int64_t end = length - at < kBlock ? length : at + kBlock;
    Bits bad = 0;
    for (std::int64_t i = at; i < end; i++) {
      Bits bits;
      std::memcpy(&bits, data + static_cast<std::size_t>(i) * sizeof(Bits), sizeof(Bits));
      bad |= static_cast<Bits>((bits & kExponent) == kExponent);
    }
    if (bad != 0) return false;
  }
  return true;
}

}  // namespace

bool AllFinite(const void* data, std::int64_t length, Dtype dtype) {
  const char* const bytes = static_cast<const char*>(data);
  if (dtype == Dtype::kFloat32) return FiniteBits<std::uint32_t, 0x7f800000u>(bytes, length);
  return FiniteBits<std::uint64_t, 0x7ff0000000000000u>(bytes, length);
}

Binding::Binding(std::shared_ptr<const Program> program, char* arena, double* row, Pool* pool)
    : program_(std::move(program)), row_(row) {
  context_.pool = pool;
  context_.workspace = arena + program_->workspace_offset();
  pointers_.resize(program_->operands.size());
  for (std::size_t at = 0; at < pointers_.size(); at++) {
    const Slot& slot = program_->slots[program_->operands[at]];
    const std::uintptr_t offset = static_cast<std::uintptr_t>(slot.offset);
    if (slot.space == kArena) {
      pointers_[at] = arena + offset;
    } else if (slot.space == kReport) {
      pointers_[at] = reinterpret_cast<char*>(row) + offset;
    } else if (slot.space == kState) {
      state_.push_back({at, 0, offset, 1});
    } else {
      const std::size_t input = static_cast<std::size_t>(slot.space - kInputs);
      const ProgramInput& declared = program_->inputs[input];
      const std::uintptr_t size = SizeOf(declared.dtype);
      inputs_.push_back({at, input, offset, size});
      if (declared.advance > 0) windows_.push_back({at, static_cast<std::uintptr_t>(declared.advance) * size});
    }
  }
  lines_.reserve(program_->lines.size());
  for (const Line& line : program_->lines) {
    lines_.emplace_back(line, program_->dtype, pointers_.data(), arena, reinterpret_cast<char*>(row));
  }
  loop_of_.resize(program_->steps.size());
  std::vector<BoundLoop*> open;
  std::size_t next = 0;
  const auto close = [&](std::size_t step) {
    for (; !open.empty() && open.back()->end_step == step; open.pop_back()) open.back()->end = calls_.size();
  };
  for (std::size_t i = 0; i < program_->steps.size();) {
    close(i);
    if (next < lines_.size() && program_->lines[next].first == i) {
      calls_.push_back({nullptr, &lines_[next], nullptr, nullptr, i, false});
      i = program_->lines[next].end;
      next++;
      continue;
    }
    const Step& step = program_->steps[i];
    if (step.loop) {
      loops_.push_back(Bind(*step.loop, i));
      loop_of_[i] = open.emplace_back(loops_.back().get());
      calls_.push_back({nullptr, nullptr, loops_.back().get(), nullptr, i, false});
    } else {
      calls_.push_back({step.instruction.get(), nullptr, nullptr, pointers_.data() + step.first_operand, i, step.writes_cost});
    }
    i++;
  }
  close(program_->steps.size());
  for (const Staged& staged : program_->early.staged) {
    const auto after = std::upper_bound(calls_.begin(), calls_.end(), staged.step,
                                        [](std::size_t step, const BoundCall& call) { return step < call.step; });
    std::prev(after)->staged = &staged;
  }
}

void Binding::Begin(std::size_t pieces) {
  const Step& collective = program_->steps[program_->early.collective];
  collective.instruction->Begin(pieces, pointers_.data() + collective.first_operand, context_);
}

void Binding::Poll() const { World::instance().Poll(context_.trains ? World::kTraining : World::kUser); }

void Binding::RunInStages(const BoundCall& call) {
  for (const Stage& stage : call.staged->stages) {
    call.instruction->RunRows(stage.from, stage.to, call.operands, context_);
    Begin(stage.pieces);
    Poll();
  }
}

// The pointers that a loop moves: those of its windows, wherever its body has them as operands.
std::unique_ptr<Binding::BoundLoop> Binding::Bind(const Loop& loop, std::size_t step) const {
  auto bound = std::make_unique<BoundLoop>();
  bound->length = loop.length;
  bound->end_step = loop.end;
  for (std::size_t i = step + 1; i < loop.end; i++) {
    const Step& inner = program_->steps[i];
    for (std::size_t at = inner.first_operand; !inner.loop && at < inner.first_operand + inner.operand_count; at++) {
      const std::int64_t slot = static_cast<std::int64_t>(program_->operands[at]);
      for (const struct Window& window : loop.windows) {
        if (window.slot != slot) continue;
        const std::uintptr_t size = SizeOf(program_->slots[program_->operands[at]].dtype);
        bound->moves.push_back({at, static_cast<std::uintptr_t>(window.advance) * size});
      }
    }
  }
  return bound;
}

RunOutcome Binding::RunLoop(const BoundLoop& loop, std::size_t at, const std::atomic<bool>& abandon, bool checked) {
  RunOutcome outcome = RunOutcome::kDone;
  std::int64_t done = 0;
  while (done < loop.length) {
    // A body may be empty.
    if (abandon.load(std::memory_order_relaxed)) outcome = RunOutcome::kAbandoned;
    if (outcome == RunOutcome::kDone) {
      outcome = checked ? RunSteps(at + 1, loop.end_step, abandon) : RunCalls(at + 1, loop.end, abandon);
    }
    if (outcome != RunOutcome::kDone) break;
    for (const Motion& move : loop.moves) pointers_[move.at] = Moved(pointers_[move.at], move.bytes);
    done++;
  }
  const std::uintptr_t back = static_cast<std::uintptr_t>(done);
  for (const Motion& move : loop.moves) pointers_[move.at] = Moved(pointers_[move.at], std::uintptr_t{0} - back * move.bytes);
  return outcome;
}

void Binding::AttachState(char* state) {
  if (state == attached_) return;
  attached_ = state;
  for (const Patch& patch : state_) pointers_[patch.at] = state + patch.offset;
  for (BoundLine& line : lines_) line.AttachState(state);
}

void Binding::AttachInputs(void* const* arrays, const std::int64_t* cursors) {
  for (const Patch& patch : inputs_) {
    const std::uintptr_t cursor = cursors != nullptr ? static_cast<std::uintptr_t>(cursors[patch.input]) : 0;
    pointers_[patch.at] = Moved(arrays[patch.input], patch.offset + cursor * patch.size);
  }
}

RunOutcome Binding::RunChecked(const std::atomic<bool>& abandon) {
  Alone(RunOutcome::kDone);
  return RunSteps(0, program_->steps.size(), abandon);
}

RunOutcome Binding::RunSteps(std::size_t i, std::size_t end, const std::atomic<bool>& abandon) {
  while (i < end) {
    const Step& step = program_->steps[i];
    void* const* const operands = pointers_.data() + step.first_operand;
    if (abandon.load(std::memory_order_relaxed)) return RunOutcome::kAbandoned;
    if (const BoundLoop* const loop = loop_of_[i]) {
      const RunOutcome outcome = RunLoop(*loop, i, abandon, true);
      if (outcome != RunOutcome::kDone) return outcome;
      i = loop->end_step;
      continue;
    }
    if (alone_ != RunOutcome::kDone && !step.instruction->Meets()) {
      i++;
      continue;
    }
    RunOutcome outcome = RunOutcome::kDone;
    if (!step.instruction->Run(operands, context_)) {
      outcome = RunOutcome::kBadIndex;
    } else if (alone_ == RunOutcome::kDone && !Finite(step, operands)) {
      outcome = RunOutcome::kNonFinite;
    }
    if (outcome != RunOutcome::kDone) {
      outcome = Stopped(i, outcome);
      if (outcome != RunOutcome::kDone) return outcome;
    }
    i++;
  }
  return RunOutcome::kDone;
}

bool Binding::Finite(const Step& step, void* const* operands) const {
  for (std::size_t o = 0; o < step.output_count; o++) {
    const Slot& slot = program_->slots[program_->operands[step.first_operand + o]];
    const bool floating = slot.dtype == Dtype::kFloat32 || slot.dtype == Dtype::kFloat64;
    if (floating && !AllFinite(operands[o], slot.length, slot.dtype)) return false;
  }
  return true;
}

RunOutcome Binding::Stopped(std::size_t step, RunOutcome outcome) {
  if (context_.broken && alone_ != RunOutcome::kDone) return alone_;
  stopped_at_ = step;
  if (context_.broken) return RunOutcome::kElsewhere;
  // What is made after the vote is the same on all processes.
  if (!program_->votes || context_.voted) return outcome;
  alone_ = outcome;
  context_.failed = true;
  return RunOutcome::kDone;
}

RunOutcome Binding::StoppedIn(const BoundLine& line, const LineOp& op) {
  if (line.Tests(op)) return Stopped(op.step, RunOutcome::kNonFinite);
  context_.bad_index = BoundLine::BadIndexOf(op);
  return Stopped(op.step, RunOutcome::kBadIndex);
}

}  // namespace wengert
