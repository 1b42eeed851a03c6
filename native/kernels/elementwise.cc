// Runs elementwise calls: see elementwise.h for how, elementwise_plan.cc for what is prepared.
#include "elementwise.h"

#include <algorithm>
#include <cstring>

#include "../program/pool.h"
#include "line.h"
#include "rooms.h"
#include "thresholds.h"

namespace wengert {

namespace micro {

#define WENGERT_CODE(name, arity, cost, value) kCode_##name,
enum Code { WENGERT_ELEMENTWISE(WENGERT_CODE) };
static_assert(kCode_copy == int{kLineCopy} && kCode_add == int{kLineAdd} && kCode_mul == int{kLineMul});

// Lists of a few pointers: a call of memcpy takes longer than the loop.
#if defined(__GNUC__) && !defined(__clang__)
#define WENGERT_NO_MEMCPY __attribute__((optimize("no-tree-loop-distribute-patterns")))
#else
#define WENGERT_NO_MEMCPY
#endif

// Element by element. A result goes straight to its output unless a later operation of the element reads what lies there.
template <class F>
bool Elementwise<F>::Write(LineWriter& line) const {
  if (!micro_ || kDtype<F> != line.dtype()) return false;
  const MicroProgram& program = *micro_;
  const int first = program.inputs + program.constants;
  for (std::int64_t at = 0; at < size_; at++) {
    std::vector<Cell> cells;
    for (int i = 0; i < program.inputs; i++) {
      const Layout layout = program.layout[i];
      const std::int64_t element = layout == Layout::kDense    ? at
                                   : layout == Layout::kRow    ? at % program.cols
                                   : layout == Layout::kColumn ? at / program.cols
                                                               : 0;
      cells.push_back(line.Read(static_cast<std::size_t>(program.outputs + i), element));
    }
    for (int i = 0; i < program.constants; i++) {
      cells.push_back(line.Constant(constants_[tile_ * static_cast<std::size_t>(i)]));
    }
    for (int o = 0; o < program.outputs; o++) {
      for (int other = 0; other < program.outputs; other++) {
        const int result = program.result[other];
        const bool input = o != other && result < program.inputs;
        if (input && cells[static_cast<std::size_t>(result)] == line.Write(static_cast<std::size_t>(o), at)) return false;
      }
    }
    bool direct[kMaxOutputs] = {};
    for (int i = 0; i < program.ops; i++) {
      const Op& op = program.op[i];
      Cell to = line.Own();
      for (int o = 0; o < program.outputs; o++) {
        const Cell output = line.Write(static_cast<std::size_t>(o), at);
        bool free = program.result[o] == first + i;
        for (int later = i + 1; later < program.ops && free; later++) {
          for (int slot = 0; slot < kMicros[program.op[later].code].arity; slot++) {
            const int operand = program.op[later].operand[slot];
            free = free && !(operand < program.inputs && cells[static_cast<std::size_t>(operand)] == output);
          }
        }
        if (!free) continue;
        to = output;
        direct[o] = true;
        break;
      }
      const auto operand = [&](int slot) {
        return slot < kMicros[op.code].arity ? cells[static_cast<std::size_t>(op.operand[slot])] : Cell{};
      };
      line.Emit(static_cast<LineCode>(op.code), to, operand(0), operand(1), operand(2));
      cells.push_back(to);
    }
    for (int o = 0; o < program.outputs; o++) {
      if (direct[o]) continue;
      line.Emit(kLineCopy, line.Write(static_cast<std::size_t>(o), at),
                cells[static_cast<std::size_t>(program.result[o])]);
    }
  }
  return true;
}

template <class F>
bool Elementwise<F>::Shared(void* const* operands) const {
  for (const auto& [output, input] : pairs_) {
    if (operands[output] == operands[input_place_ + input]) return true;
  }
  return false;
}

template <class F>
struct ElementwiseParts {
  const Elementwise<F>* self;
  void* const* operands;
  std::int64_t tiles;
  int parts;
};

template <class F>
void Elementwise<F>::Part(void* argument, int part) {
  const auto* parts = static_cast<const ElementwiseParts<F>*>(argument);
  parts->self->RunTiles(parts->operands, parts->tiles * part / parts->parts, parts->tiles * (part + 1) / parts->parts);
}

template <class F>
bool Elementwise<F>::Run(void* const* operands, Context& context) const {
  if (small_) {
    RunSmall(operands);
    return true;
  }
  if (size_ == 0) return true;
  if (context.pool != nullptr && work_ >= thresholds::kSplitWork && tiles_ > 1) {
    const double most = std::min(static_cast<double>(tiles_), work_ / (thresholds::kSplitWork / 2));
    ElementwiseParts<F> parts{this, operands, tiles_, static_cast<int>(std::min<double>(most, Pool::threads()))};
    if (parts.parts > 1) {
      context.pool->Run(parts.parts, Part, &parts);
      return true;
    }
  }
  RunTiles(operands, 0, tiles_);
  return true;
}

// The whole grid is one small tile of operands in place: nothing is moved, so little is done besides the operations.
// Where there are no other places, the operands' list itself is the list of places.
template <class F>
WENGERT_NO_MEMCPY void Elementwise<F>::RunSmall(void* const* operands) const {
  const Plan& plan = two_plans_ && Shared(operands) ? shared_ : apart_;
  const std::size_t n = static_cast<std::size_t>(size_);
  if (place_count_ == constant_place_) {
    for (const Bound& op : plan.ops) {
      op.map(n, static_cast<F*>(operands[op.dst]), static_cast<F*>(operands[op.a]), static_cast<F*>(operands[op.b]),
             static_cast<F*>(operands[op.c]));
    }
    for (const Store& store : plan.stores) {
      store.store(n, operands[store.output], static_cast<F*>(operands[store.from]));
    }
    return;
  }
  alignas(64) unsigned char scratch[thresholds::kSmallScratchBytes];
  F* place[kMaxPlaces];
  for (int i = 0; i < constant_place_; i++) place[i] = static_cast<F*>(operands[i]);
  SetFixed(place, scratch);
  for (const Bound& op : plan.ops) op.map(n, place[op.dst], place[op.a], place[op.b], place[op.c]);
  for (const Store& store : plan.stores) store.store(n, operands[store.output], place[store.from]);
}

// The places that stay where they are: constants and scratch tiles.
template <class F>
WENGERT_NO_MEMCPY inline void Elementwise<F>::SetFixed(F** place, unsigned char* scratch) const {
  F* constant = const_cast<F*>(constants_.data());
  for (int i = constant_place_; i < scratch_place_; i++, constant += tile_) place[i] = constant;
  F* tile = reinterpret_cast<F*>(scratch);
  for (int i = scratch_place_; i < place_count_; i++, tile += tile_) place[i] = tile;
}

// Runs on any thread. Tiles are numbered row by row.
template <class F>
void Elementwise<F>::RunTiles(void* const* operands, std::int64_t begin, std::int64_t end) const {
  alignas(64) unsigned char scratch[thresholds::kScratchBytes];
  F* place[kMaxPlaces];
  void* const* inputs = operands + input_place_;
  const Plan& plan = two_plans_ && Shared(operands) ? shared_ : apart_;
  SetFixed(place, scratch);
  for (const Feed& feed : singles_) {
    F value;
    feed.load(1, &value, inputs[feed.input]);
    table_.fill(static_cast<std::size_t>(tall_ * width_), place[feed.place], value);
  }
  for (const Feed& feed : repeats_) {
    F* to = place[feed.place];
    feed.load(static_cast<std::size_t>(cols_), to, inputs[feed.input]);
    // Rows double: one, two, four, …
    for (std::int64_t done = 1; done < tall_; done *= 2) {
      const std::int64_t more = std::min(done, tall_ - done);
      std::memcpy(to + done * cols_, to, static_cast<std::size_t>(more * cols_) * sizeof(F));
    }
  }
  for (std::int64_t tile = begin; tile < end; tile++) {
    const std::int64_t row = across_ == 1 ? tile * tall_ : tile / across_;
    const std::int64_t col = across_ == 1 ? 0 : tile % across_ * width_;
    const std::int64_t height = std::min(tall_, rows_ - row);
    const std::int64_t each = std::min(width_, cols_ - col);
    const std::int64_t at = row * cols_ + col;
    const std::size_t n = static_cast<std::size_t>(height * each);
    for (const Feed& feed : in_place_) {
      place[feed.place] = static_cast<F*>(inputs[feed.input]) + (feed.along ? col : at);
    }
    for (const Place target : targets_) place[target] = static_cast<F*>(operands[target]) + at;
    for (const Feed& feed : converts_) {
      feed.load(n, place[feed.place],
                static_cast<const unsigned char*>(inputs[feed.input]) + (feed.along ? col : at) * feed.size);
    }
    for (const Feed& feed : columns_) {
      const unsigned char* from = static_cast<const unsigned char*>(inputs[feed.input]) + row * feed.size;
      if (feed.native) {
        table_.spread(static_cast<std::size_t>(height), static_cast<std::size_t>(each), place[feed.place],
                      reinterpret_cast<const F*>(from));
        continue;
      }
      for (std::int64_t r = 0; r < height; r++) {
        F value;
        feed.load(1, &value, from + r * feed.size);
        table_.fill(static_cast<std::size_t>(each), place[feed.place] + r * each, value);
      }
    }
    for (const Bound& op : plan.ops) op.map(n, place[op.dst], place[op.a], place[op.b], place[op.c]);
    for (const Store& store : plan.stores) {
      store.store(n, static_cast<unsigned char*>(operands[store.output]) + at * store.size, place[store.from]);
    }
  }
}

template class Elementwise<float>;
template class Elementwise<double>;

}  // namespace micro

#define WENGERT_NAME(name, arity, cost, value) #name,
const char* const kElementwiseNames[] = {WENGERT_ELEMENTWISE(WENGERT_NAME)};
const std::size_t kElementwiseCount = kElementwiseOps;

std::unique_ptr<Instruction> PrepareElementwise(const Call& call) {
  const micro::MicroProgram program = micro::Parse(call);
  if (call.ints[0] == 0) return std::make_unique<micro::Elementwise<float>>(call, program);
  return std::make_unique<micro::Elementwise<double>>(call, program);
}

}  // namespace wengert
