#include "program.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace wengert {

namespace {

const char* const kWhat = "program";

// Above these a program is a mistake, not a plan.
constexpr std::int64_t kMostBytes = std::int64_t{1} << 40;
constexpr std::int64_t kMostReport = std::int64_t{1} << 20;
// Loops in each other, at most.
constexpr std::size_t kDeepest = 16;

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
  const std::int64_t size = static_cast<std::int64_t>(SizeOf(slot.dtype));
  if (slot.offset % size != 0) {
    Malform(kWhat, Numbered("slot", index) + " at a multiple of " + std::to_string(size), std::to_string(slot.offset));
  }
  if (slot.space >= kReport) {
    const Dtype only =
        slot.space == kReport ? Dtype::kFloat64 : program.inputs[static_cast<std::size_t>(slot.space - kInputs)].dtype;
    if (slot.dtype != only) Malform(kWhat, Numbered("slot", index) + " of its space's type", "another");
  }
  const std::int64_t bytes = BytesOf(program, slot.space);
  if (slot.offset > bytes || slot.length > (bytes - slot.offset) / size) {
    Malform(kWhat, Numbered("slot", index) + " inside the " + std::to_string(bytes) + " bytes of its space",
            std::to_string(slot.length) + " elements at " + std::to_string(slot.offset));
  }
  return slot;
}

// What an operand comes over in the loops that it is in; refused where that leaves its space.
Extent ExtentOf(const Program& program, std::int64_t id, const std::vector<const Loop*>& loops) {
  const Slot& slot = program.slots[static_cast<std::size_t>(id)];
  const std::int64_t size = static_cast<std::int64_t>(SizeOf(slot.dtype));
  std::int64_t start = slot.offset;
  std::int64_t end = slot.offset + slot.length * size;
  const std::int64_t bytes = BytesOf(program, slot.space);
  bool moves = false;
  for (const Loop* const loop : loops) {
    const auto& windows = loop->windows;
    const auto window = std::lower_bound(windows.begin(), windows.end(), id,
                                         [](const Window& own, std::int64_t wanted) { return own.slot < wanted; });
    if (window == windows.end() || window->slot != id) continue;
    moves = true;
    // In floating point first: what is inside a space is exact.
    const double by = static_cast<double>(window->advance) * static_cast<double>(std::max<std::int64_t>(loop->length, 1) - 1) *
                      static_cast<double>(size);
    const bool inside = std::fabs(by) <= static_cast<double>(kLargestInteger);
    const std::int64_t moved = inside ? static_cast<std::int64_t>(by) : 0;
    if (moved < 0) start += moved;
    if (moved > 0) end += moved;
    if (!inside || start < 0 || end > bytes) {
      Malform("loop", Numbered("slot", static_cast<std::size_t>(id)) + " inside the " + std::to_string(bytes) +
                          " bytes of its space in every iteration",
              TextOf(by) + " bytes from where it begins");
    }
  }
  return {slot.space,
          static_cast<std::uintptr_t>(start),
          static_cast<std::uintptr_t>(end - start),
          {slot.dtype, slot.length},
          moves ? id + 1 : 0};
}

bool Overlap(const Extent& a, const Extent& b) {
  if (a.base != b.base || a.bytes == 0 || b.bytes == 0) return false;
  return a.start < b.start + b.bytes && b.start < a.start + a.bytes;
}

// What ParseStep needs again and again.
struct Scratch {
  std::vector<const Loop*> loops;  // that the step is in, the innermost last
  std::vector<std::int64_t> slots;
  std::vector<std::int64_t> ints;
  std::vector<Extent> extents;
  std::vector<Operand> operands;
};

// The numbers of a loop, the step `index` of `steps`.
std::unique_ptr<Loop> ParseLoop(const Program& program, std::size_t index, std::size_t steps, const Scratch& scratch) {
  const char* const name = "loop";
  const std::vector<std::int64_t>& ints = scratch.ints;
  if (ints.size() < 2 || ints.size() % 2 != 0) {
    Malform(name, "a length, a count and pairs of integers", std::to_string(ints.size()) + " integers");
  }
  if (ints[0] < 0) Malform(name, "a length of 0 or more", std::to_string(ints[0]));
  const std::size_t outer = scratch.loops.empty() ? steps : scratch.loops.back()->end;
  const std::size_t most = outer - index - 1;
  if (ints[1] < 0 || ints[1] > static_cast<std::int64_t>(most)) {
    Malform(name, "a body of 0 … " + std::to_string(most) + " steps", std::to_string(ints[1]));
  }
  if (scratch.loops.size() >= kDeepest) Malform(name, std::to_string(kDeepest) + " loops in each other at most", "more");
  auto loop = std::make_unique<Loop>();
  loop->length = ints[0];
  loop->end = index + 1 + static_cast<std::size_t>(ints[1]);
  std::int64_t last = -1;
  for (std::size_t i = 2; i < ints.size(); i += 2) {
    if (ints[i] <= last || ints[i] >= static_cast<std::int64_t>(program.slots.size())) {
      Malform(name, "windows in growing order among " + std::to_string(program.slots.size()) + " slots",
              std::to_string(ints[i]));
    }
    last = ints[i];
    if (program.slots[static_cast<std::size_t>(last)].space == kReport) {
      Malform(name, "windows outside of the report", Numbered("slot", static_cast<std::size_t>(last)));
    }
    loop->windows.push_back({last, ints[i + 1]});
  }
  return loop;
}

void ParseStep(Program& program, Words& words, std::size_t index, std::size_t steps, Scratch& scratch) {
  while (!scratch.loops.empty() && scratch.loops.back()->end == index) scratch.loops.pop_back();
  Step step;
  step.kernel = static_cast<std::size_t>(words.Count("a kernel", static_cast<std::int64_t>(kLoopKernel)));
  const char* const name = KernelName(step.kernel);
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
  if (step.kernel == kLoopKernel) {
    if (step.operand_count + scalar_count > 0) Malform(name, "no operands and no scalars", "some");
    step.loop = ParseLoop(program, index, steps, scratch);
    scratch.loops.push_back(step.loop.get());
    program.steps.push_back(std::move(step));
    return;
  }
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
    scratch.extents.push_back(ExtentOf(program, id, scratch.loops));
    program.moving.push_back(scratch.extents.back().motion != 0);
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
  program.meets = program.meets || step.instruction->Meets();
  program.votes = program.votes || step.instruction->Votes();
  program.workspace_bytes = std::max(program.workspace_bytes, step.instruction->Workspace());
  CheckOverlap(name, *step.instruction, scratch.extents.data(), step.output_count,
               scratch.extents.data() + step.output_count, input_count);
  program.steps.push_back(std::move(step));
}

}  // namespace

const std::size_t kLoopKernel = kKernelCount;

const char* KernelName(std::size_t kernel) { return kernel == kLoopKernel ? "loop" : kKernels[kernel].name; }

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
      const bool same = out.start == in.start && out.operand.length == in.operand.length &&
                        out.operand.dtype == in.operand.dtype && out.motion == in.motion;
      const std::int64_t within = out.operand.dtype == in.operand.dtype && out.motion == in.motion ? instruction.Within(i) : -1;
      const bool inside = within >= 0 && within <= out.operand.length - in.operand.length &&
                          in.start - out.start == static_cast<std::uintptr_t>(within) * SizeOf(out.operand.dtype);
      if (!(same && instruction.InPlace(i)) && !inside) {
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
  for (std::size_t i = 0; i < steps; i++) ParseStep(*program, words, i, steps, scratch);
  if (words.left() > 0) Malform(kWhat, "no words after the last step", std::to_string(words.left()));
  program->lines = FindLines(*program);
  program->early = FindEarlySums(*program);
  return program;
}

}  // namespace wengert
