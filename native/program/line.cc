#include "line.h"

#include <cstring>

#include "program.h"
#include "../kernels/thresholds.h"

namespace wengert {

namespace {

LineRun RunOf(const UnboundOp& op, Dtype dtype) {
  const std::size_t passed = static_cast<std::size_t>(op.passed);
  if (dtype == Dtype::kFloat32) return WENGERT_TABLE(Line, float).run[passed][op.code];
  return RecastRun<LineRun>(WENGERT_TABLE(Line, double).run[passed][op.code]);
}

}  // namespace

std::vector<Line> FindLines(const Program& program) {
  std::vector<Line> lines;
  std::vector<Place> places;
  // Where the bodies end that the steps are in: a line does not go beyond.
  std::vector<std::size_t> ends{program.steps.size()};
  for (std::size_t i = 0; i < program.steps.size();) {
    while (ends.back() == i) ends.pop_back();
    if (program.steps[i].loop) {
      ends.push_back(program.steps[i].loop->end);
      i++;
      continue;
    }
    LineWriter writer(program.dtype);
    std::size_t end = i;
    for (; end < ends.back() && writer.size() < thresholds::kLongestLine; end++) {
      const Step& step = program.steps[end];
      if (step.loop) break;
      places.clear();
      bool written = true;
      for (std::size_t o = 0; o < step.operand_count; o++) {
        const Slot& slot = program.slots[program.operands[step.first_operand + o]];
        const bool fixed = slot.space < kInputs && !program.moving[step.first_operand + o];
        places.push_back({slot.space, slot.offset, slot.dtype, fixed});
        written = written && (o >= step.output_count || places.back().fixed);
      }
      const std::size_t size = writer.size();
      writer.Begin(static_cast<std::uint32_t>(end), places.data(), step.output_count, step.first_operand);
      if (!written || !step.instruction->Write(writer) || writer.mixed()) {
        writer.TakeBack(size);
        break;
      }
      if (step.writes_cost) writer.Emit(kLineTest, {}, {Cell::kMemory, kReport, 0});
    }
    if (end - i >= 2) {
      writer.End();
      lines.push_back({i, end, writer.ops(), writer.constants(), writer.cells()});
      i = end;
    } else {
      i++;
    }
  }
  return lines;
}

BoundLine::BoundLine(const Line& line, Dtype dtype, void* const* pointers, char* arena, char* row)
    : float32_(dtype == Dtype::kFloat32), ops_(line.ops.size()), cells_(static_cast<std::size_t>(line.cells) + 1) {
  const auto set = [&](std::int64_t cell, double value) {
    double& to = cells_[static_cast<std::size_t>(cell)];
    const float single = static_cast<float>(value);
    if (dtype == Dtype::kFloat32) {
      std::memcpy(&to, &single, sizeof(single));
    } else {
      to = value;
    }
  };
  for (const auto& [cell, value] : line.constants) set(cell, value);
  const auto bind = [&](const Cell& cell, const void** pointer) {
    switch (cell.kind) {
      case Cell::kOwn: *pointer = &cells_[static_cast<std::size_t>(cell.at)]; break;
      case Cell::kOperand: *pointer = pointers + cell.at; break;
      case Cell::kNone: *pointer = &cells_.back(); break;
      default:
        if (cell.base == kState) {
          state_.push_back({pointer, cell.at});
        } else {
          *pointer = (cell.base == kReport ? row : arena) + cell.at;
        }
    }
  };
  for (std::size_t i = 0; i < ops_.size(); i++) {
    const UnboundOp& from = line.ops[i];
    LineOp& op = ops_[i];
    op.run = RunOf(from, dtype);
    op.n = from.n;
    op.stride_a = from.stride_a;
    op.stride_b = from.stride_b;
    op.step = from.step;
    codes_.push_back(from.code);
    bind(from.to, const_cast<const void**>(&op.to));
    bind(from.a, &op.a);
    bind(from.b, &op.b);
    bind(from.c, &op.c);
  }
}

void BoundLine::AttachState(char* state) {
  for (const Patch& patch : state_) *patch.pointer = state + patch.offset;
}

BadIndex BoundLine::BadIndexOf(const LineOp& op) {
  return {0, static_cast<double>(**static_cast<const std::int32_t* const*>(op.b)), op.stride_a};
}

}  // namespace wengert
