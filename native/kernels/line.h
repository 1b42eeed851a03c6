// Lines: neighbouring steps of a very small program as one straight list of operations on single numbers. Calling a
// kernel costs as much as ten of them, so a network of a few neurons takes half the time; the bits are the kernels' own.
//
// A kernel that can be written this way overrides Instruction::Write. Which steps become lines: program/line.cc. What
// the operations do: line_isa.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "isa.h"
#include "kernel.h"

namespace wengert {

// The elementwise kernel's codes come first; two of them have a name here.
enum LineCode : std::uint16_t {
  kLineCopy = 0,
  kLineAdd = 37,
  kLineMul = 39,
  kLineFma = kElementwiseOps,  // to = a · b + c, rounded once where the processor can
  kLineDot,                    // to = Σ a · b over n pairs, each rounded
  kLineFusedDot,               // the same, each addition fused
  kLineSum,                    // to = Σ a over n, in double
  kLineSumApart,               // the same over elements stride_a apart
  kLineAccumulate,             // to += Σ a over n; `to` is double
  kLineTest,                   // ends the line where a, a double, is not finite
  kLineLoad,                   // to = element n of the operand a
  kLineGather4,                // n elements of 4 bytes: to = a[b[0]], a being rows of n, stride_a of them; ends the
  kLineGather8,                // line where the index is not inside
  kLineEnd,
  kLineCodes,
};
static_assert(kLineCodes == kLineOps);

// A bound operation. A run returns null, or the operation at which it ended. The result of an operation is stored, and
// passed on in a register too: an operation that reads its predecessor's result has a form that takes it from there.
struct LineOp {
  LineRun run;
  void* to;
  const void* a;
  const void* b;
  const void* c;
  std::int32_t n, stride_a, stride_b;
  std::uint32_t step;
};
static_assert(sizeof(void*) != 8 || sizeof(LineOp) == 56);

// Where an operand lies: `start` bytes into the space `base`.
struct Place {
  std::int64_t base;
  std::int64_t start;
  Dtype dtype;
  bool fixed;  // false: it moves between runs, and is loaded
};

// A number of a line: in memory, in the line's own cells, or (for loads) an operand wherever it is at the moment.
struct Cell {
  enum Kind : std::uint8_t { kNone, kMemory, kOwn, kOperand };
  Kind kind = kNone;
  std::int64_t base = 0;  // of memory
  std::int64_t at = 0;    // bytes in it; the number of the cell or operand
  bool operator==(const Cell& other) const { return kind == other.kind && base == other.base && at == other.at; }
};

// Where an operation takes its predecessor's result: nowhere, or as its operand a or b.
enum class Passed : std::uint8_t { kNone, kA, kB };

struct UnboundOp {
  LineCode code;
  Passed passed;
  Cell to, a, b, c;
  std::int32_t n, stride_a, stride_b;
  std::uint32_t step;
};

class LineWriter {
 public:
  // Numbers are of this type.
  explicit LineWriter(Dtype dtype) : dtype_(dtype) {}

  // The step that is written next: its operands, outputs first, and the number of the first among the program's.
  void Begin(std::uint32_t step, const Place* places, std::size_t outputs, std::size_t operand);

  Dtype dtype() const { return dtype_; }
  std::size_t outputs() const { return outputs_; }
  // Element `at` of an operand. Neighbours are neighbours in memory only where the operand is fixed. The operations of a
  // line know one type: a step that asks for a number of another is no part of it.
  Cell Read(std::size_t operand, std::int64_t at);
  Cell Write(std::size_t output, std::int64_t at) { return InMemory(Numbers(output), at); }
  // An output that an operation writes as a double, whatever the line's type is.
  Cell WriteDouble(std::size_t output) { return InMemory(places_[output], 0); }
  // Whether the step has asked for numbers of another type.
  bool mixed() const { return mixed_; }
  // All operands that a step may write to, or read in place, are fixed.
  bool Fixed(std::size_t operand) const { return places_[operand].fixed; }
  // The operand itself, for loads.
  Cell Operand(std::size_t operand) const {
    return {Cell::kOperand, 0, static_cast<std::int64_t>(first_operand_ + operand)};
  }
  Cell Constant(double value);
  Cell Own() { return {Cell::kOwn, 0, cells_++}; }
  void Emit(LineCode code, Cell to, Cell a, Cell b = {}, Cell c = {}, std::int64_t n = 0, std::int64_t stride_a = 0,
            std::int64_t stride_b = 0);

  // Operations so far; what was emitted after a mark can be taken back.
  std::size_t size() const { return ops_.size(); }
  void TakeBack(std::size_t size);
  // Ends the line. Operations are moved next to what they read, as far as nothing changes by it.
  void End();

  const std::vector<UnboundOp>& ops() const { return ops_; }
  const std::vector<std::pair<std::int64_t, double>>& constants() const { return constants_; }
  std::int64_t cells() const { return cells_; }

 private:
  Cell InMemory(const Place& place, std::int64_t at) const {
    return {Cell::kMemory, place.base, place.start + at * static_cast<std::int64_t>(SizeOf(place.dtype))};
  }

  const Place& Numbers(std::size_t operand) {
    mixed_ = mixed_ || places_[operand].dtype != dtype_;
    return places_[operand];
  }

  void Schedule(std::size_t begin, std::size_t end, std::vector<UnboundOp>& to) const;

  struct Loaded {
    Cell memory, cell;
    std::size_t op;  // that loaded it
  };

  Dtype dtype_;
  bool mixed_ = false;
  std::uint32_t step_ = 0;
  const Place* places_ = nullptr;
  std::size_t outputs_ = 0;
  std::size_t first_operand_ = 0;
  std::int64_t cells_ = 0;
  std::vector<UnboundOp> ops_;
  std::vector<std::pair<std::int64_t, double>> constants_;
  std::vector<Loaded> loaded_;
};

}  // namespace wengert
