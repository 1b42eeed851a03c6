// elementwise: a straight-line micro-program over a grid [rows, cols], run tile by tile. Each micro-operation is one
// call of a loop over a tile of contiguous elements (elementwise_isa.cc).
//
// Prepare gives every register a *place*: an operand where it lies, a constant's tile, or a scratch tile, reused as
// registers die. Dense operands of the compute type are read and written in place; single elements and short repeated
// rows are spread out once a run, columns and other types once a tile. A grid without repeated rows or columns is one
// long row. Scratch is a fixed piece of the stack: the tile's width is chosen to fit it.
//
// Whether an output shares its memory with an input is known only when running, so there may be two plans: one for
// operands apart, one that writes nothing before the last read of what it may destroy.
#include <algorithm>
#include <cstring>
#include <vector>

#include "../program/pool.h"
#include "isa.h"
#include "line.h"
#include "micro_program.h"
#include "rooms.h"

namespace wengert {

namespace {

using namespace micro;

// Inputs, constants, outputs, and a scratch tile for each of: an input, an operation's result, an input kept aside.
constexpr int kMaxPlaces = 3 * kMaxInputs + kMaxConstants + kMaxOutputs + kMaxOps;

// Operations that a line takes from one call.
constexpr std::int64_t kMostInLine = 24;
#define WENGERT_CODE(name, arity, cost, value) kCode_##name,
enum Code { WENGERT_ELEMENTWISE(WENGERT_CODE) };
static_assert(kCode_copy == int{kLineCopy} && kCode_add == int{kLineAdd} && kCode_mul == int{kLineMul});

constexpr std::size_t kScratchBytes = 32 * 1024;
constexpr std::size_t kSmallScratchBytes = 2 * 1024;
// Bytes of all the tiles of a micro-program together, operands included: what the first-level cache holds.
constexpr std::size_t kCacheBytes = 32 * 1024;
// Work (in units of Micro::cost × elements) from which a second thread is worth waking.
constexpr double kSplitWork = 256 * 1024;

// Lists of a few pointers: a call of memcpy takes longer than the loop.
#if defined(__GNUC__) && !defined(__clang__)
#define WENGERT_NO_MEMCPY __attribute__((optimize("no-tree-loop-distribute-patterns")))
#else
#define WENGERT_NO_MEMCPY
#endif

template <class F>
constexpr Dtype kDtype = sizeof(F) == 4 ? Dtype::kFloat32 : Dtype::kFloat64;

template <class F>
class Elementwise final : public Instruction {
 public:
  Elementwise(const Call& call, const MicroProgram& program);
  bool Run(void* const* operands, Context& context) const override;
  bool InPlace(std::size_t input) const override { return dense_[input]; }
  bool Write(LineWriter& line) const override;

 private:
  using Table = ElementwiseTable<F>;
  using Place = std::uint16_t;

  // One micro-operation bound to places.
  struct Bound {
    typename Table::Map map;
    Place dst, a, b, c;
  };
  // A result that is copied or converted to its output after the operations.
  struct Store {
    typename Table::Store store;
    Place from;
    std::uint16_t output;
    std::uint16_t size;  // bytes of an element
  };
  struct Plan {
    std::vector<Bound> ops;
    std::vector<Store> stores;
  };
  // An input that is brought to a place; `scratch` is where.
  struct Feed {
    std::uint16_t input;
    Place place;
    std::uint16_t size;  // bytes of an element
    bool native;         // of the compute type
    bool along;          // moves along a row only: a long repeated row
    typename Table::Load load;
  };

  void Build(const Call& call, const MicroProgram& program, bool shared, Plan& plan, int& scratch) const;
  bool Shared(void* const* operands) const;
  void RunTiles(void* const* operands, std::int64_t begin, std::int64_t end) const;
  void RunSmall(void* const* operands) const;
  void SetFixed(F** place, unsigned char* scratch) const;
  static void Part(void* argument, int part);

  const Table& table_;
  std::int64_t rows_, cols_, size_;
  std::int64_t tall_, width_;  // whole rows in a tile; elements of a row in it
  std::int64_t across_, tiles_;
  double work_ = 0;  // of a whole run, in the unit of kSplitWork
  // Places are numbered outputs, inputs (so far as they lie where the operands do), constants, scratch tiles.
  int input_place_, constant_place_, scratch_place_, place_count_;
  std::size_t tile_;  // elements of a scratch tile
  bool dense_[kMaxInputs] = {};
  std::vector<Feed> in_place_, converts_, columns_, singles_, repeats_;
  std::vector<Place> targets_;                                  // outputs of the compute type
  std::vector<std::pair<std::uint16_t, std::uint16_t>> pairs_;  // (output, input) that may be the same memory
  std::vector<F> constants_;
  std::unique_ptr<const MicroProgram> micro_;  // where it may become part of a line
  Plan apart_, shared_;
  bool two_plans_ = false;
  bool small_ = false;  // RunSmall serves
};

template <class F>
Elementwise<F>::Elementwise(const Call& call, const MicroProgram& program)
    : table_(WENGERT_TABLE(Elementwise, F)),
      rows_(program.rows),
      cols_(program.cols),
      size_(program.rows * program.cols) {
  for (int i = 0; i < program.inputs; i++) dense_[i] = program.layout[i] == Layout::kDense;
  if (size_ == 0) return;
  if (size_ * std::max(program.ops, 1) <= kMostInLine) micro_ = std::make_unique<const MicroProgram>(program);
  bool flat = true;
  for (int i = 0; i < program.inputs; i++) {
    flat = flat && (program.layout[i] == Layout::kDense || program.layout[i] == Layout::kSingle);
  }
  if (flat) {
    rows_ = 1;
    cols_ = size_;
  }
  input_place_ = program.outputs;
  constant_place_ = input_place_ + program.inputs;
  scratch_place_ = constant_place_ + program.constants;

  for (int o = 0; o < program.outputs; o++) {
    for (int i = 0; i < program.inputs; i++) {
      if (dense_[i] && call.inputs[i].dtype == call.outputs[o].dtype) pairs_.emplace_back(o, i);
    }
  }
  int scratch_apart, scratch_shared = 0;
  Build(call, program, false, apart_, scratch_apart);
  int scratch = scratch_apart;
  if (!pairs_.empty()) {
    Build(call, program, true, shared_, scratch_shared);
    two_plans_ = shared_.ops.size() != apart_.ops.size() || shared_.stores.size() != apart_.stores.size();
    if (two_plans_) scratch = std::max(scratch, scratch_shared);
  }
  for (int i = 0; i < program.ops; i++) work_ += kMicros[program.op[i].code].cost;
  work_ = (work_ + program.inputs + program.outputs) * static_cast<double>(size_);

  // The tile: as wide as the scratch allows, and not so wide that the live tiles leave the first-level cache.
  const std::size_t live = static_cast<std::size_t>(scratch + program.inputs + program.outputs + program.constants);
  place_count_ = scratch_place_ + scratch;
  std::size_t widest =
      apart_.ops.size() <= 1 && scratch == 0 && program.constants == 0
          ? 16384
          : std::clamp<std::size_t>(kCacheBytes / (sizeof(F) * std::max<std::size_t>(live, 1)), 128, 2048);
  if (scratch > 0) widest = std::min(widest, kScratchBytes / (sizeof(F) * static_cast<std::size_t>(scratch)));
  widest = std::max<std::size_t>(widest / 16 * 16, 16);
  width_ = std::min<std::int64_t>(cols_, static_cast<std::int64_t>(widest));
  tall_ = std::clamp<std::int64_t>(static_cast<std::int64_t>(widest) / cols_, 1, rows_);
  across_ = (cols_ + width_ - 1) / width_;
  tiles_ = across_ * ((rows_ + tall_ - 1) / tall_);
  tile_ = static_cast<std::size_t>((tall_ * width_ + 15) / 16 * 16);
  if (tile_ > widest) tile_ = widest;

  constants_.resize(tile_ * static_cast<std::size_t>(program.constants));
  for (int i = 0; i < program.constants; i++) {
    table_.fill(tile_, constants_.data() + tile_ * static_cast<std::size_t>(i), static_cast<F>(call.scalars[i]));
  }
  // Inputs take the first scratch tiles, in order: see Build.
  Place next = static_cast<Place>(scratch_place_);
  for (int i = 0; i < program.inputs; i++) {
    const Dtype dtype = call.inputs[i].dtype;
    const Layout layout = program.layout[i];
    const bool native = dtype == kDtype<F>;
    const bool long_row = layout == Layout::kRow && tall_ == 1;
    Feed feed{static_cast<std::uint16_t>(i),
              static_cast<Place>(input_place_ + i),
              static_cast<std::uint16_t>(SizeOf(dtype)),
              native,
              long_row,
              table_.load[static_cast<int>(dtype)]};
    const bool placed = native && layout == Layout::kDense;
    if (!placed) feed.place = next++;
    if (placed || (native && long_row)) {
      in_place_.push_back(feed);
    } else if (layout == Layout::kSingle) {
      singles_.push_back(feed);
    } else if (layout == Layout::kColumn) {
      columns_.push_back(feed);
    } else if (layout == Layout::kRow && !long_row) {
      repeats_.push_back(feed);
    } else {
      converts_.push_back(feed);
    }
  }
  small_ = tiles_ == 1 && in_place_.size() == static_cast<std::size_t>(program.inputs) &&
           static_cast<std::size_t>(scratch) * tile_ * sizeof(F) <= kSmallScratchBytes;
  for (const Feed& feed : in_place_) small_ = small_ && !feed.along;
  for (int o = 0; o < program.outputs; o++) {
    if (call.outputs[o].dtype == kDtype<F>) {
      targets_.push_back(static_cast<Place>(o));
    }
  }
}

// Gives registers their places. With `shared`, a result goes straight to its output only if no input that may be the
// same memory is read later, and an input that is itself a result is kept aside before anything is stored.
template <class F>
void Elementwise<F>::Build(const Call& call, const MicroProgram& program, bool shared, Plan& plan, int& scratch) const {
  const int first = program.inputs + program.constants;
  std::vector<int> place(static_cast<std::size_t>(first + program.ops));
  int next = scratch_place_;
  for (int i = 0; i < program.inputs; i++) {
    const bool placed = program.layout[i] == Layout::kDense && call.inputs[i].dtype == kDtype<F>;
    place[static_cast<std::size_t>(i)] = placed ? input_place_ + i : next++;
  }
  for (int i = 0; i < program.constants; i++) place[static_cast<std::size_t>(program.inputs + i)] = constant_place_ + i;

  // The last operation that reads each register; `ops` stands for the stores, -1 for nobody.
  std::vector<int> last(static_cast<std::size_t>(first + program.ops), -1);
  for (int o = 0; o < program.outputs; o++) last[static_cast<std::size_t>(program.result[o])] = program.ops;
  for (int i = program.ops - 1; i >= 0; i--) {
    if (last[static_cast<std::size_t>(first + i)] < 0) continue;
    for (int slot = 0; slot < kMicros[program.op[i].code].arity; slot++) {
      int& reader = last[static_cast<std::size_t>(program.op[i].operand[slot])];
      reader = std::max(reader, i);
    }
  }
  const auto may_write = [&](int o, int i) {
    for (const auto& [output, input] : pairs_) {
      // Which inputs an output shares is unknown: all that could be are spared.
      if (shared && output == o && last[input] > i) return false;
    }
    return true;
  };
  bool direct[kMaxOutputs] = {};
  std::vector<int> free;
  const auto take = [&] {
    if (free.empty()) return next++;
    const int top = free.back();
    free.pop_back();
    return top;
  };
  for (int i = 0; i < program.ops; i++) {
    const int reg = first + i;
    if (last[static_cast<std::size_t>(reg)] < 0) continue;
    const Op& op = program.op[i];
    const int arity = kMicros[op.code].arity;
    int to = -1;
    for (int o = 0; o < program.outputs && to < 0; o++) {
      if (program.result[o] != reg || call.outputs[o].dtype != kDtype<F> || !may_write(o, i)) continue;
      direct[o] = true;
      to = o;
    }
    int from[3];
    for (int slot = 0; slot < 3; slot++) {
      from[slot] = place[static_cast<std::size_t>(op.operand[slot < arity ? slot : 0])];
    }
    for (int slot = 0; slot < arity; slot++) {
      const int operand = op.operand[slot];
      bool repeated = false;
      for (int earlier = 0; earlier < slot; earlier++) repeated = repeated || op.operand[earlier] == operand;
      if (!repeated && operand >= first && last[static_cast<std::size_t>(operand)] == i &&
          from[slot] >= scratch_place_) {
        free.push_back(from[slot]);
      }
    }
    if (to < 0) to = take();
    place[static_cast<std::size_t>(reg)] = to;
    plan.ops.push_back({table_.map[op.code], static_cast<Place>(to), static_cast<Place>(from[0]),
                        static_cast<Place>(from[1]), static_cast<Place>(from[2])});
  }
  if (shared) {
    for (int i = 0; i < program.inputs; i++) {
      if (last[static_cast<std::size_t>(i)] < program.ops || place[static_cast<std::size_t>(i)] != input_place_ + i) {
        continue;
      }
      const int kept = take();
      const Place from = static_cast<Place>(input_place_ + i);
      plan.ops.push_back({table_.map[0], static_cast<Place>(kept), from, from, from});
      place[static_cast<std::size_t>(i)] = kept;
    }
  }
  for (int o = 0; o < program.outputs; o++) {
    if (direct[o]) continue;
    const Dtype dtype = call.outputs[o].dtype;
    plan.stores.push_back({table_.store[static_cast<int>(dtype)],
                           static_cast<Place>(place[static_cast<std::size_t>(program.result[o])]),
                           static_cast<std::uint16_t>(o), static_cast<std::uint16_t>(SizeOf(dtype))});
  }
  scratch = next - scratch_place_;
}

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
  if (context.pool != nullptr && work_ >= kSplitWork && tiles_ > 1) {
    const double most = std::min(static_cast<double>(tiles_), work_ / (kSplitWork / 2));
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
  alignas(64) unsigned char scratch[kSmallScratchBytes];
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
  alignas(64) unsigned char scratch[kScratchBytes];
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

}  // namespace

#define WENGERT_NAME(name, arity, cost, value) #name,
const char* const kElementwiseNames[] = {WENGERT_ELEMENTWISE(WENGERT_NAME)};
const std::size_t kElementwiseCount = kElementwiseOps;

std::unique_ptr<Instruction> PrepareElementwise(const Call& call) {
  const MicroProgram program = Parse(call);
  if (call.ints[0] == 0) return std::make_unique<Elementwise<float>>(call, program);
  return std::make_unique<Elementwise<double>>(call, program);
}

}  // namespace wengert
