// A program: steps over slots, validated once. What has passed can be run on any memory of the declared sizes without
// reading or writing outside of it. lib/backend/program.ts says what a program means.
//
// The words of a program (lib/backend/native/encode.ts writes them):
//
//   dtype, arenaBytes, stateBytes, report, atomic, inputs, slots, steps,
//   dtype, length, advance, writable                            for each input
//   space, offset, length, dtype                                for each slot
//   kernel, outputs, inputs, ints, scalars, then these four     for each step
//
// A loop is a step whose kernel is the number after the last one, without operands and scalars. Its integers: length, how many
// of the steps that follow are its body, then slot and advance (elements) of each window, the slots in growing order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "../kernels/kernel.h"
#include "line.h"
#include "early_sums.h"
#include "words.h"

namespace wengert {

enum Space : std::int64_t { kArena = 0, kState = 1, kReport = 2, kInputs = 3 };

struct ProgramInput {
  Dtype dtype;
  std::int64_t length;
  std::int64_t advance;
  bool writable;
};

struct Slot {
  std::int64_t space;
  std::int64_t offset;  // bytes
  std::int64_t length;  // elements
  Dtype dtype;
};

// A slot that lies elsewhere in each iteration of a loop.
struct Window {
  std::int64_t slot;
  std::int64_t advance;  // elements
};

// The steps that follow it up to `end` are run `length` times.
struct Loop {
  std::int64_t length;
  std::size_t end;
  std::vector<Window> windows;
};

struct Step {
  std::unique_ptr<Instruction> instruction;  // null: a loop
  std::unique_ptr<Loop> loop;
  std::size_t kernel;         // index in kKernels, or kLoopKernel
  std::size_t first_operand;  // in Program::operands
  std::size_t output_count;
  std::size_t operand_count;
  bool writes_cost;  // an output is entry 0 of the report
};

extern const std::size_t kLoopKernel;
// "loop", or the name of a kernel.
const char* KernelName(std::size_t kernel);

// Immutable after Parse: one program may be bound many times, on several threads.
struct Program {
  Dtype dtype;
  std::int64_t arena_bytes;
  std::size_t workspace_bytes = 0;  // the largest that an instruction asks for
  std::int64_t state_bytes;
  std::int64_t report;
  bool atomic;
  bool meets = false;  // a step meets the other processes of a world
  bool votes = false;  // and carries their votes
  std::vector<ProgramInput> inputs;
  std::vector<Slot> slots;
  std::vector<Step> steps;
  std::vector<std::size_t> operands;  // slots of all steps, each step's outputs and then its inputs
  std::vector<bool> moving;           // whether an operand is a window of a loop that it is in
  std::vector<Line> lines;            // in order, apart
  EarlySums early;

  // Where the workspace begins in the memory of a run, and what that takes in all: the arena and the workspace behind it.
  std::size_t workspace_offset() const { return (static_cast<std::size_t>(arena_bytes) + 63) / 64 * 64; }
  std::size_t scratch_bytes() const {
    return workspace_bytes == 0 ? static_cast<std::size_t>(arena_bytes) : workspace_offset() + workspace_bytes;
  }

  // Throws Malformed, or std::bad_alloc.
  static std::shared_ptr<const Program> Parse(const double* words, std::size_t count);
};

// An operand's memory: `bytes` from `start` in whatever `base` stands for (a space of a program, or all of memory).
// What moves in a loop comes over all of them; `motion` is another number for each way of moving, 0 for none.
struct Extent {
  std::int64_t base;
  std::uintptr_t start;
  std::uintptr_t bytes;
  Operand operand;
  std::int64_t motion = 0;
};

// Refuses outputs that overlap each other, or an input other than exactly where the instruction allows it.
void CheckOverlap(const char* kernel, const Instruction& instruction, const Extent* outputs, std::size_t output_count,
                  const Extent* inputs, std::size_t input_count);

}  // namespace wengert
