// Which steps of a program are run as lines, and lines tied to memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "../kernels/line.h"

namespace wengert {

struct Program;

// The steps first … end − 1 as one straight list.
struct Line {
  std::size_t first, end;
  std::vector<UnboundOp> ops;
  std::vector<std::pair<std::int64_t, double>> constants;  // cell, value
  std::int64_t cells;
};

std::vector<Line> FindLines(const Program& program);

// A line over a program's memory. Belongs to one binding.
class BoundLine {
 public:
  // `pointers` has an entry for each of the program's operands; arena and row are where those spaces lie.
  BoundLine(const Line& line, Dtype dtype, void* const* pointers, char* arena, char* row);

  void AttachState(char* state);
  // Null, or the operation at which the line ended.
  const LineOp* Run() const {
    if (float32_) return ops_.front().run(ops_.data(), 0);
    return RecastRun<TypedRun<double>>(ops_.front().run)(ops_.data(), 0);
  }
  // What a line ended by a bad index has met.
  static BadIndex BadIndexOf(const LineOp& op);
  bool Tests(const LineOp& op) const { return codes_[static_cast<std::size_t>(&op - ops_.data())] == kLineTest; }

 private:
  struct Patch {
    const void** pointer;
    std::int64_t offset;
  };
  bool float32_;
  std::vector<LineOp> ops_;
  std::vector<LineCode> codes_;
  std::vector<double> cells_;
  std::vector<Patch> state_;
};

}  // namespace wengert
