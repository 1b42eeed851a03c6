// The micro-program of an elementwise call, checked: what is here is inside every limit. For elementwise.cc.
#pragma once

#include <algorithm>
#include <string>

#include "checks.h"
#include "elementwise_ops.h"
#include "isa.h"

namespace wengert::micro {

struct Micro {
  int arity, cost;
};
#define WENGERT_MICRO(name, arity, cost, value) {arity, cost},
constexpr Micro kMicros[] = {WENGERT_ELEMENTWISE(WENGERT_MICRO)};

constexpr int kMaxInputs = 32;
constexpr int kMaxOutputs = 16;
constexpr int kMaxConstants = 32;
constexpr int kMaxOps = 128;

enum class Layout { kDense, kRow, kColumn, kSingle };

struct Op {
  int code;
  int operand[3];
};

// The checked micro-program; registers are numbered as in the call.
struct MicroProgram {
  std::int64_t rows, cols;
  int inputs, outputs, constants, ops;
  Layout layout[kMaxInputs];
  int result[kMaxOutputs];
  Op op[kMaxOps];
};

constexpr const char* kOp = "elementwise";

inline Layout CheckInput(std::int64_t rows, std::int64_t cols, std::int64_t row, std::int64_t col, std::size_t i,
                         const Operand& operand) {
  std::int64_t length;
  Layout layout;
  if (row == cols && col == 1) {
    length = rows * cols;
    layout = Layout::kDense;
  } else if (row == 0 && col == 1) {
    length = cols;
    layout = rows <= 1 ? Layout::kDense : cols == 1 ? Layout::kSingle : Layout::kRow;
  } else if (row == 1 && col == 0) {
    length = rows;
    layout = cols <= 1 ? Layout::kDense : rows == 1 ? Layout::kSingle : Layout::kColumn;
  } else if (row == 0 && col == 0) {
    length = 1;
    layout = rows == 1 && cols == 1 ? Layout::kDense : Layout::kSingle;
  } else {
    Refuse(kOp, "strides (cols, 1), (0, 1), (1, 0) or (0, 0)",
           "(" + std::to_string(row) + ", " + std::to_string(col) + ")");
  }
  CheckOperand(kOp, ("input " + std::to_string(i)).c_str(), operand, Kind::kAny, length);
  return layout;
}

inline int CheckCount(const char* name, std::int64_t count, int limit) {
  if (count < 0 || count > limit) Refuse(kOp, "0 … " + std::to_string(limit) + " " + name, count);
  return static_cast<int>(count);
}

inline MicroProgram Parse(const Call& call) {
  const std::int64_t* ints = CheckInts(kOp, call, 7, true);
  if (ints[0] != 0 && ints[0] != 1) Refuse(kOp, "compute of 0 or 1", ints[0]);
  MicroProgram program;
  program.rows = ints[1];
  program.cols = ints[2];
  if (program.rows < 0 || program.cols < 0) {
    Refuse(kOp, "a grid of 0 or more", std::min(program.rows, program.cols));
  }
  program.inputs = CheckCount("inputs", ints[3], kMaxInputs);
  program.outputs = CheckCount("outputs", ints[4], kMaxOutputs);
  program.constants = CheckCount("constants", ints[5], kMaxConstants);
  program.ops = CheckCount("ops", ints[6], kMaxOps);
  CheckInts(kOp, call, static_cast<std::size_t>(7 + 2 * program.inputs + program.outputs + 4 * program.ops));
  CheckScalars(kOp, call, static_cast<std::size_t>(program.constants));
  CheckCounts(kOp, call, static_cast<std::size_t>(program.outputs), static_cast<std::size_t>(program.inputs));
  const std::int64_t size = Volume(kOp, {program.rows, program.cols});
  ints += 7;
  for (int i = 0; i < program.inputs; i++, ints += 2) {
    program.layout[i] =
        CheckInput(program.rows, program.cols, ints[0], ints[1], static_cast<std::size_t>(i), call.inputs[i]);
  }
  const std::int64_t registers = program.inputs + program.constants + program.ops;
  for (int o = 0; o < program.outputs; o++, ints++) {
    if (*ints < 0 || *ints >= registers) {
      Refuse(kOp, "an output from a register below " + std::to_string(registers), *ints);
    }
    CheckOperand(kOp, ("output " + std::to_string(o)).c_str(), call.outputs[o], Kind::kAny, size);
    program.result[o] = static_cast<int>(*ints);
  }
  for (int i = 0; i < program.ops; i++, ints += 4) {
    if (ints[0] < 0 || ints[0] >= static_cast<std::int64_t>(kElementwiseOps)) {
      Refuse(kOp, "op codes below " + std::to_string(kElementwiseOps), ints[0]);
    }
    Op& op = program.op[i];
    op.code = static_cast<int>(ints[0]);
    const int own = program.inputs + program.constants + i;
    for (int slot = 0; slot < 3; slot++) {
      const std::int64_t reg = ints[1 + slot];
      if (slot >= kMicros[op.code].arity) {
        if (reg != 0) Refuse(kOp, "0 for the unused operands of op " + std::to_string(i), reg);
      } else if (reg < 0 || reg >= own) {
        Refuse(kOp, "op " + std::to_string(i) + " to read registers below " + std::to_string(own), reg);
      }
      op.operand[slot] = static_cast<int>(reg);
    }
  }
  return program;
}

}  // namespace wengert::micro
