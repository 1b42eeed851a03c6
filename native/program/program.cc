#include "program.h"

#include <algorithm>

#include <string>

namespace wengert {

namespace {

const char* const kWhat = "program";

// Above these a program is a mistake, not a plan.
constexpr std::int64_t kMostBytes = std::int64_t{1} << 40;
constexpr std::int64_t kMostReport = std::int64_t{1} << 20;

std::string Numbered(const char* what, std::size_t index) { return std::string(what) + " " + std::to_string(index); }

// The bytes of a space.
std::int64_t BytesOf(const Program& program, std::int64_t space) {
  switch (space) {
    case kArena: return program.arena_bytes;
    case kState: return program.state_bytes;
    case kReport: return program.report * 8;
    default: {
      // An input's bytes may exceed what 64 bits hold; no slot reaches that far.
      const ProgramInput& input = program.inputs[static_cast<std::size_t>(space - kInputs)];
      const std::int64_t size = static_cast<std::int64_t>(SizeOf(input.dtype));
      return input.length > kLargestInteger / size ? kLargestInteger : input.length * size;
    }
  }
}

Slot ParseSlot(const Program& program, Words& words, std::size_t index) {
  Slot slot;
  slot.space = words.Count("the space of a slot", kInputs + static_cast<std::int64_t>(program.inputs.size()) - 1);
  slot.offset = words.Count("the offset of a slot");
  slot.length = words.Count("the length of a slot");
  slot.dtype = words.Type("the dtype of a slot");
  if (slot.offset % 8 != 0) {
    Malform(kWhat, Numbered("slot", index) + " at a multiple of 8", std::to_string(slot.offset));
  }
  if (slot.space >= kReport) {
    const Dtype only =
        slot.space == kReport ? Dtype::kFloat64 : program.inputs[static_cast<std::size_t>(slot.space - kInputs)].dtype;
    if (slot.dtype != only) Malform(kWhat, Numbered("slot", index) + " of its space's type", "another");
  }
  const std::int64_t bytes = BytesOf(program, slot.space);
  if (slot.offset > bytes || slot.length > (bytes - slot.offset) / static_cast<std::int64_t>(SizeOf(slot.dtype))) {
    Malform(kWhat, Numbered("slot", index) + " inside the " + std::to_string(bytes) + " bytes of its space",
            std::to_string(slot.length) + " elements at " + std::to_string(slot.offset));
  }
  return slot;
}

Extent ExtentOf(const Slot& slot) {
  return {slot.space,
          static_cast<std::uintptr_t>(slot.offset),
          static_cast<std::uintptr_t>(slot.length) * SizeOf(slot.dtype),
          {slot.dtype, slot.length}};
}

bool Overlap(const Extent& a, const Extent& b) {
  if (a.base != b.base || a.bytes == 0 || b.bytes == 0) return false;
  return a.start < b.start + b.bytes && b.start < a.start + a.bytes;
}

// What ParseStep needs again and again.
struct Scratch {
  std::vector<std::int64_t> slots;
  std::vector<std::int64_t> ints;
  std::vector<Extent> extents;
  std::vector<Operand> operands;
};

void ParseStep(Program& program, Words& words, std::size_t index, Scratch& scratch) {
  Step step;
  step.kernel = static_cast<std::size_t>(words.Count("a kernel", static_cast<std::int64_t>(kKernelCount) - 1));
  const char* const name = kKernels[step.kernel].name;
  step.output_count = words.Items("outputs", 1);
  const std::size_t input_count = words.Items("inputs", 1);
  const std::size_t int_count = words.Items("ints", 1);
  const std::size_t scalar_count = words.Items("scalars", 1);
  step.operand_count = step.output_count + input_count;
  step.first_operand = program.operands.size();
  step.writes_cost = false;
  words.Integers("operands", step.operand_count, scratch.slots);
  words.Integers("ints", int_count, scratch.ints);
  const double* const scalars = words.Numbers("scalars", scalar_count);
  scratch.extents.clear();
  scratch.operands.clear();
  for (std::size_t i = 0; i < step.operand_count; i++) {
    const std::int64_t id = scratch.slots[i];
    if (id < 0 || id >= static_cast<std::int64_t>(program.slots.size())) {
      Malform(name,
              "operands of " + Numbered("step", index) + " among " + std::to_string(program.slots.size()) + " slots",
              std::to_string(id));
    }
    const Slot& slot = program.slots[static_cast<std::size_t>(id)];
    if (i < step.output_count) {
      const bool input = slot.space >= kInputs;
      if (input && !program.inputs[static_cast<std::size_t>(slot.space - kInputs)].writable) {
        Malform(name, "outputs of " + Numbered("step", index) + " in writable memory",
                Numbered("input", static_cast<std::size_t>(slot.space - kInputs)));
      }
      step.writes_cost = step.writes_cost || (slot.space == kReport && slot.offset == 0 && slot.length > 0);
    }
    program.operands.push_back(static_cast<std::size_t>(id));
    scratch.extents.push_back(ExtentOf(slot));
    scratch.operands.push_back(scratch.extents.back().operand);
  }
  const Call call{scratch.operands.data(),
                  step.output_count,
                  scratch.operands.data() + step.output_count,
                  input_count,
                  scratch.ints.data(),
                  int_count,
                  scalars,
                  scalar_count};
  step.instruction = kKernels[step.kernel].prepare(call);
  program.workspace_bytes = std::max(program.workspace_bytes, step.instruction->Workspace());
  CheckOverlap(name, *step.instruction, scratch.extents.data(), step.output_count,
               scratch.extents.data() + step.output_count, input_count);
  program.steps.push_back(std::move(step));
}

}  // namespace

void CheckOverlap(const char* kernel, const Instruction& instruction, const Extent* outputs, std::size_t output_count,
                  const Extent* inputs, std::size_t input_count) {
  for (std::size_t o = 0; o < output_count; o++) {
    const Extent& out = outputs[o];
    for (std::size_t i = 0; i < o; i++) {
      if (Overlap(out, outputs[i]))
        Malform(kernel, "outputs apart", Numbered("output", i) + " over " + Numbered("output", o));
    }
    for (std::size_t i = 0; i < input_count; i++) {
      const Extent& in = inputs[i];
      if (!Overlap(out, in)) continue;
      const bool same =
          out.start == in.start && out.operand.length == in.operand.length && out.operand.dtype == in.operand.dtype;
      if (!same || !instruction.InPlace(i)) {
        Malform(kernel, "outputs apart from inputs", Numbered("output", o) + " over " + Numbered("input", i));
      }
    }
  }
}

std::shared_ptr<const Program> Program::Parse(const double* numbers, std::size_t count) {
  Words words(kWhat, numbers, count);
  auto program = std::make_shared<Program>();
  program->dtype = static_cast<Dtype>(words.Count("dtype float32 or float64", 1));
  program->arena_bytes = words.Count("arenaBytes", kMostBytes);
  program->state_bytes = words.Count("stateBytes", kMostBytes);
  program->report = words.Count("report", kMostReport);
  program->atomic = words.Flag("atomic");
  const std::size_t inputs = words.Items("inputs", 4);
  const std::size_t slots = words.Items("slots", 4);
  const std::size_t steps = words.Items("steps", 5);
  program->inputs.reserve(inputs);
  for (std::size_t i = 0; i < inputs; i++) {
    ProgramInput input;
    input.dtype = words.Type("the dtype of an input");
    input.length = words.Count("the length of an input");
    input.advance = words.Count("the advance of an input");
    input.writable = words.Flag("writable");
    program->inputs.push_back(input);
  }
  program->slots.reserve(slots);
  for (std::size_t i = 0; i < slots; i++) program->slots.push_back(ParseSlot(*program, words, i));
  program->steps.reserve(steps);
  Scratch scratch;
  for (std::size_t i = 0; i < steps; i++) ParseStep(*program, words, i, scratch);
  if (words.left() > 0) Malform(kWhat, "no words after the last step", std::to_string(words.left()));
  program->lines = FindLines(*program);
  return program;
}

}  // namespace wengert
