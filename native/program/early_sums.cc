#include "early_sums.h"

#include <algorithm>

#include "program.h"

namespace wengert {

namespace {

struct Bytes {
  std::int64_t begin, end;
};

Bytes BytesOf(const Slot& slot) { return {slot.offset, slot.offset + slot.length * static_cast<std::int64_t>(SizeOf(slot.dtype))}; }

bool Meet(const Bytes& a, const Bytes& b) { return a.begin < b.end && b.begin < a.end; }

// In which step of the program's own list each is: itself, or the outermost loop around it.
std::vector<std::size_t> OutermostOf(const Program& program) {
  std::vector<std::size_t> outermost(program.steps.size());
  for (std::size_t i = 0; i < outermost.size();) {
    const std::size_t end = program.steps[i].loop ? program.steps[i].loop->end : i + 1;
    std::fill(outermost.begin() + static_cast<std::ptrdiff_t>(i), outermost.begin() + static_cast<std::ptrdiff_t>(end), i);
    i = end;
  }
  return outermost;
}

}  // namespace

EarlySums FindEarlySums(const Program& program) {
  EarlySums early;
  const std::vector<std::size_t> outermost = OutermostOf(program);
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < program.steps.size() && pieces.empty(); i++) {
    if (outermost[i] != i || program.steps[i].loop) continue;
    pieces = program.steps[i].instruction->Pieces();
    early.collective = i;
  }
  if (pieces.empty()) return early;
  const Step& collective = program.steps[early.collective];
  const auto slot_of = [&](const Step& step, std::size_t operand) -> const Slot& {
    return program.slots[program.operands[step.first_operand + operand]];
  };
  const Slot& out = slot_of(collective, 0);
  if (out.space != kArena) return early;
  const std::int64_t size = static_cast<std::int64_t>(SizeOf(out.dtype));
  std::vector<Bytes> places;
  for (const Piece& piece : pieces) places.push_back({out.offset + piece.begin * size, out.offset + piece.end * size});

  // The last step that has to do with a piece's memory. What lies elsewhere is brought by the collective itself.
  std::vector<std::size_t> made(pieces.size(), 0);
  for (std::size_t i = 0; i < early.collective; i++) {
    const Step& step = program.steps[i];
    for (std::size_t o = 0; o < step.operand_count; o++) {
      const Slot& slot = slot_of(step, o);
      if (slot.space != kArena) continue;
      for (std::size_t p = 0; p < pieces.size(); p++) {
        if (program.moving[step.first_operand + o] || Meet(BytesOf(slot), places[p])) made[p] = std::max(made[p], outermost[i]);
      }
    }
  }
  for (std::size_t o = 1; o < collective.operand_count; o++) {
    const Slot& slot = slot_of(collective, o);
    const std::int64_t within = out.offset + collective.instruction->Within(o - 1) * size;
    if (slot.space == kArena && slot.offset == within) continue;
    const Bytes bytes{within, within + slot.length * size};
    for (std::size_t p = 0; p < pieces.size(); p++) {
      if (Meet(bytes, places[p])) made[p] = early.collective;
    }
  }
  // They begin in their order.
  for (std::size_t p = 1; p < made.size(); p++) made[p] = std::max(made[p], made[p - 1]);

  for (std::size_t p = 0; p < made.size() && made[p] < early.collective;) {
    const std::size_t at = made[p];
    std::size_t end = p;
    while (end < made.size() && made[end] == at) end++;
    const Step& step = program.steps[at];
    const RowCuts cuts = step.loop ? RowCuts{} : step.instruction->Cuts();
    Staged staged{at, cuts.rows > 0, {}};
    if (!staged.by_rows) {
      staged.stages.push_back({0, 0, end});
    } else {
      // The last rows come first. No stage is smaller than a unit.
      const Slot& c = slot_of(step, 0);
      const std::int64_t row = c.length / cuts.rows * size;
      const std::int64_t most = (cuts.rows / cuts.unit - 1) * cuts.unit;
      std::int64_t from = cuts.rows;
      for (; p < end; p++) {
        const std::int64_t begins = (places[p].begin - c.offset) / row / cuts.unit * cuts.unit;
        const std::int64_t next = p + 1 == end ? 0 : std::clamp<std::int64_t>(begins, 0, std::min(most, from));
        if (next < from) staged.stages.push_back({next, from, p + 1});
        from = next;
        // Of pieces that the same rows end, the last one counts.
        if (!staged.stages.empty()) staged.stages.back().pieces = p + 1;
      }
    }
    early.staged.push_back(std::move(staged));
    p = end;
  }
  return early;
}

}  // namespace wengert
