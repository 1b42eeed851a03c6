// A program: steps over slots, validated once. What has passed can be run on any memory of the declared sizes without
// reading or writing outside of it. lib/backend/program.ts says what a program means.
//
// The words of a program (lib/backend/native/encode.ts writes them):
//
//   dtype, arenaBytes, stateBytes, report, atomic, inputs, slots, steps,
//   dtype, length, advance, writable                            for each input
//   space, offset, length, dtype                                for each slot
//   kernel, outputs, inputs, ints, scalars, then these four     for each step
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "../kernels/kernel.h"
#include "line.h"
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

struct Step {
  std::unique_ptr<Instruction> instruction;
  std::size_t kernel;         // index in kKernels
  std::size_t first_operand;  // in Program::operands
  std::size_t output_count;
  std::size_t operand_count;
  bool writes_cost;  // an output is entry 0 of the report
};

// Immutable after Parse: one program may be bound many times, on several threads.
struct Program {
  Dtype dtype;
  std::int64_t arena_bytes;
  std::size_t workspace_bytes = 0;  // the largest that an instruction asks for
  std::int64_t state_bytes;
  std::int64_t report;
  bool atomic;
  std::vector<ProgramInput> inputs;
  std::vector<Slot> slots;
  std::vector<Step> steps;
  std::vector<std::size_t> operands;  // slots of all steps, each step's outputs and then its inputs
  std::vector<Line> lines;            // in order, apart

  // Where the workspace begins in the memory of a run, and what that takes in all: the arena and the workspace behind it.
  std::size_t workspace_offset() const { return (static_cast<std::size_t>(arena_bytes) + 63) / 64 * 64; }
  std::size_t scratch_bytes() const {
    return workspace_bytes == 0 ? static_cast<std::size_t>(arena_bytes) : workspace_offset() + workspace_bytes;
  }

  // Throws Malformed, or std::bad_alloc.
  static std::shared_ptr<const Program> Parse(const double* words, std::size_t count);
};

// An operand's memory: `bytes` from `start` in whatever `base` stands for (a space of a program, or all of memory).
struct Extent {
  std::int64_t base;
  std::uintptr_t start;
  std::uintptr_t bytes;
  Operand operand;
};

// Refuses outputs that overlap each other, or an input other than exactly where the instruction allows it.
void CheckOverlap(const char* kernel, const Instruction& instruction, const Extent* outputs, std::size_t output_count,
                  const Extent* inputs, std::size_t input_count);

}  // namespace wengert
