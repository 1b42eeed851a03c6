#include "binding.h"

#include <cstring>

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
  std::size_t next = 0;
  for (std::size_t i = 0; i < program_->steps.size();) {
    if (next < lines_.size() && program_->lines[next].first == i) {
      calls_.push_back({&lines_[next], nullptr, nullptr, i, false});
      i = program_->lines[next].end;
      next++;
      continue;
    }
    const Step& step = program_->steps[i];
    calls_.push_back({nullptr, step.instruction.get(), pointers_.data() + step.first_operand, i, step.writes_cost});
    i++;
  }
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
  for (std::size_t i = 0; i < program_->steps.size(); i++) {
    const Step& step = program_->steps[i];
    void* const* const operands = pointers_.data() + step.first_operand;
    if (abandon.load(std::memory_order_relaxed)) return RunOutcome::kAbandoned;
    if (!step.instruction->Run(operands, context_)) return Stopped(i, RunOutcome::kBadIndex);
    for (std::size_t o = 0; o < step.output_count; o++) {
      const Slot& slot = program_->slots[program_->operands[step.first_operand + o]];
      const bool floating = slot.dtype == Dtype::kFloat32 || slot.dtype == Dtype::kFloat64;
      if (floating && !AllFinite(operands[o], slot.length, slot.dtype)) return Stopped(i, RunOutcome::kNonFinite);
    }
  }
  return RunOutcome::kDone;
}

RunOutcome Binding::StoppedIn(const BoundLine& line, const LineOp& op) {
  if (line.Tests(op)) return Stopped(op.step, RunOutcome::kNonFinite);
  context_.bad_index = BoundLine::BadIndexOf(op);
  return Stopped(op.step, RunOutcome::kBadIndex);
}

}  // namespace wengert
