#include "line.h"

namespace wengert {

namespace {

// Bytes that an operation reads or writes.
struct Range {
  Cell::Kind kind = Cell::kNone;
  std::int64_t base = 0, from = 0, to = 0;
};

Range RangeOf(const Cell& cell, std::int64_t elements, std::int64_t stride, std::int64_t size) {
  if (cell.kind == Cell::kNone || cell.kind == Cell::kOperand) return {};
  if (cell.kind == Cell::kOwn) return {Cell::kOwn, 0, cell.at, cell.at + 1};
  return {Cell::kMemory, cell.base, cell.at, cell.at + ((elements - 1) * stride + 1) * size};
}

bool Meet(const Range& a, const Range& b) {
  return a.kind != Cell::kNone && a.kind == b.kind && a.base == b.base && a.from < b.to && b.from < a.to;
}

struct Reach {
  Range to, a, b, c;
};

Reach ReachOf(const UnboundOp& op, Dtype dtype) {
  const std::int64_t size = static_cast<std::int64_t>(SizeOf(dtype));
  const bool dot = op.code == kLineDot || op.code == kLineFusedDot;
  const bool sum = op.code == kLineSum || op.code == kLineSumApart || op.code == kLineAccumulate;
  const std::int64_t n = dot || sum ? op.n : 1;
  Reach reach{RangeOf(op.to, 1, 1, size), RangeOf(op.a, n, dot || op.code == kLineSumApart ? op.stride_a : 1, size),
              RangeOf(op.b, n, dot ? op.stride_b : 1, size), RangeOf(op.c, 1, 1, size)};
  // The report holds doubles, and is added to.
  if (op.code == kLineAccumulate) reach.to = reach.c = RangeOf(op.to, 1, 1, 8);
  return reach;
}

// Whether `later` must stay behind `earlier`.
bool Follows(const Reach& later, const Reach& earlier) {
  return Meet(earlier.to, later.a) || Meet(earlier.to, later.b) || Meet(earlier.to, later.c) ||
         Meet(earlier.to, later.to) || Meet(later.to, earlier.a) || Meet(later.to, earlier.b) ||
         Meet(later.to, earlier.c);
}

// Operations that may end a line, or write more than a number: nothing passes them.
bool Stays(LineCode code) { return code == kLineTest || code == kLineGather4 || code == kLineGather8; }

Passed PassedTo(const UnboundOp& op, const UnboundOp& before) {
  const bool gives = before.code < kLineAccumulate || before.code == kLineLoad;
  if (!gives || before.to.kind == Cell::kNone || op.code > kLineFma) return Passed::kNone;
  if (op.a == before.to) return Passed::kA;
  return op.b == before.to ? Passed::kB : Passed::kNone;
}

}  // namespace

void LineWriter::Begin(std::uint32_t step, const Place* places, std::size_t outputs, std::size_t operand) {
  step_ = step;
  places_ = places;
  outputs_ = outputs;
  first_operand_ = operand;
  mixed_ = false;
}

Cell LineWriter::Read(std::size_t operand, std::int64_t at) {
  const Cell memory = InMemory(Numbers(operand), at);
  if (places_[operand].fixed) return memory;
  for (const Loaded& loaded : loaded_) {
    if (loaded.memory == memory) return loaded.cell;
  }
  const Cell cell = Own();
  loaded_.push_back({memory, cell, ops_.size()});
  Emit(kLineLoad, cell, Operand(operand), {}, {}, at);
  return cell;
}

Cell LineWriter::Constant(double value) {
  for (const auto& [cell, known] : constants_) {
    if (known == value) return {Cell::kOwn, 0, cell};
  }
  const Cell cell = Own();
  constants_.emplace_back(cell.at, value);
  return cell;
}

void LineWriter::Emit(LineCode code, Cell to, Cell a, Cell b, Cell c, std::int64_t n, std::int64_t stride_a,
                      std::int64_t stride_b) {
  ops_.push_back({code, Passed::kNone, to, a, b, c, static_cast<std::int32_t>(n), static_cast<std::int32_t>(stride_a),
                  static_cast<std::int32_t>(stride_b), step_});
}

void LineWriter::TakeBack(std::size_t size) {
  ops_.resize(size);
  while (!loaded_.empty() && loaded_.back().op >= size) loaded_.pop_back();
}

void LineWriter::End() {
  std::vector<UnboundOp> ordered;
  ordered.reserve(ops_.size() + 1);
  for (std::size_t i = 0; i < ops_.size();) {
    std::size_t end = i;
    while (end < ops_.size() && !Stays(ops_[end].code)) end++;
    Schedule(i, end, ordered);
    if (end < ops_.size()) ordered.push_back(ops_[end]);
    i = end + 1;
  }
  ops_ = std::move(ordered);
  for (std::size_t i = 1; i < ops_.size(); i++) ops_[i].passed = PassedTo(ops_[i], ops_[i - 1]);
  Emit(kLineEnd, {}, {});
}

// Always the first that is ready and reads what was just computed, else the first that is ready.
void LineWriter::Schedule(std::size_t begin, std::size_t end, std::vector<UnboundOp>& to) const {
  const std::size_t count = end - begin;
  std::vector<Reach> reach;
  for (std::size_t i = 0; i < count; i++) reach.push_back(ReachOf(ops_[begin + i], dtype_));
  std::vector<std::vector<std::size_t>> followers(count);
  std::vector<std::size_t> waits(count, 0);
  for (std::size_t later = 0; later < count; later++) {
    for (std::size_t earlier = 0; earlier < later; earlier++) {
      if (!Follows(reach[later], reach[earlier])) continue;
      followers[earlier].push_back(later);
      waits[later]++;
    }
  }
  std::vector<bool> done(count, false);
  const UnboundOp* before = nullptr;
  for (std::size_t placed = 0; placed < count; placed++) {
    std::size_t next = count;
    for (std::size_t i = 0; i < count; i++) {
      if (done[i] || waits[i] > 0) continue;
      if (next == count) next = i;
      if (before == nullptr || PassedTo(ops_[begin + i], *before) == Passed::kNone) continue;
      next = i;
      break;
    }
    done[next] = true;
    for (const std::size_t follower : followers[next]) waits[follower]--;
    before = &ops_[begin + next];
    to.push_back(*before);
  }
}

}  // namespace wengert
