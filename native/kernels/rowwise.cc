// rowwise: a micro-program over the rows of a grid that may sum along them: what is computed of a row's sums and of its
// elements is one call. Rows are taken some at a time, so that what is between the operands stays in the first-level cache.
// Each operation is a loop of the elementwise kernel, each sum that of the sum kernel: the bits are those of the calls by
// themselves.
#include <algorithm>
#include <vector>

#include "../program/pool.h"
#include "micro_program.h"
#include "rooms.h"
#include "thresholds.h"

namespace wengert {

namespace {

using micro::kMaxConstants;
using micro::kMaxInputs;
using micro::kMaxOps;
using micro::kMaxOutputs;
using micro::kMicros;
using micro::Layout;
using micro::Op;

constexpr const char* kRowwise = "rowwise";
// The code of the sum of a row, after those of the micro-operations.
constexpr int kSumOfRow = static_cast<int>(kElementwiseOps);
constexpr Layout kLayouts[] = {Layout::kDense, Layout::kRow, Layout::kColumn, Layout::kSingle};

// The checked micro-program; registers are numbered as in the call. A register is wide, an element for each of the grid, or
// narrow, one for each row.
struct RowProgram {
  std::int64_t rows, cols;
  int inputs, outputs, constants, ops;
  Layout layout[kMaxInputs];
  int result[kMaxOutputs];
  Op op[kMaxOps];
  bool wide[kMaxInputs + kMaxConstants + kMaxOps];

  int arity(int i) const { return op[i].code == kSumOfRow ? 1 : kMicros[op[i].code].arity; }
};

int Count(const char* name, std::int64_t count, int limit) {
  if (count < 0 || count > limit) Refuse(kRowwise, "0 … " + std::to_string(limit) + " " + name, count);
  return static_cast<int>(count);
}

RowProgram Parse(const Call& call) {
  const std::int64_t* ints = CheckInts(kRowwise, call, 7, true);
  if (ints[0] != 0 && ints[0] != 1) Refuse(kRowwise, "compute of 0 or 1", ints[0]);
  RowProgram program{};
  program.rows = ints[1];
  program.cols = ints[2];
  if (program.rows < 0 || program.cols < 0) Refuse(kRowwise, "a grid of 0 or more", std::min(program.rows, program.cols));
  program.inputs = Count("inputs", ints[3], kMaxInputs);
  program.outputs = Count("outputs", ints[4], kMaxOutputs);
  program.constants = Count("constants", ints[5], kMaxConstants);
  program.ops = Count("ops", ints[6], kMaxOps);
  CheckInts(kRowwise, call, static_cast<std::size_t>(7 + program.inputs + program.outputs + 4 * program.ops));
  CheckScalars(kRowwise, call, static_cast<std::size_t>(program.constants));
  CheckCounts(kRowwise, call, static_cast<std::size_t>(program.outputs), static_cast<std::size_t>(program.inputs));
  const std::int64_t size = Volume(kRowwise, {program.rows, program.cols});
  ints += 7;
  for (int i = 0; i < program.inputs; i++, ints++) {
    if (*ints < 0 || *ints > 3) Refuse(kRowwise, "layouts of 0 to 3", *ints);
    const Layout layout = kLayouts[*ints];
    const std::int64_t length = layout == Layout::kDense    ? size
                                : layout == Layout::kRow    ? program.cols
                                : layout == Layout::kColumn ? program.rows
                                                            : 1;
    CheckOperand(kRowwise, ("input " + std::to_string(i)).c_str(), call.inputs[i], Kind::kAny, length);
    program.layout[i] = layout;
    program.wide[i] = layout == Layout::kDense || layout == Layout::kRow;
  }
  const int first = program.inputs + program.constants;
  const std::int64_t* results = ints;
  ints += program.outputs;
  for (int i = 0; i < program.ops; i++, ints += 4) {
    if (ints[0] < 0 || ints[0] > kSumOfRow) Refuse(kRowwise, "op codes up to " + std::to_string(kSumOfRow), ints[0]);
    Op& op = program.op[i];
    op.code = static_cast<int>(ints[0]);
    const int own = first + i;
    for (int slot = 0; slot < 3; slot++) {
      const std::int64_t reg = ints[1 + slot];
      if (slot >= program.arity(i)) {
        if (reg != 0) Refuse(kRowwise, "0 for the unused operands of op " + std::to_string(i), reg);
      } else if (reg < 0 || reg >= own) {
        Refuse(kRowwise, "op " + std::to_string(i) + " to read registers below " + std::to_string(own), reg);
      } else {
        program.wide[own] = program.wide[own] || program.wide[reg];
      }
      op.operand[slot] = static_cast<int>(reg);
    }
    if (op.code != kSumOfRow) continue;
    if (!program.wide[own]) Refuse(kRowwise, "op " + std::to_string(i) + " to sum rows of elements", ints[1]);
    program.wide[own] = false;
  }
  for (int o = 0; o < program.outputs; o++) {
    const std::int64_t reg = results[o];
    if (reg < first || reg >= first + program.ops) Refuse(kRowwise, "outputs from ops", reg);
    CheckOperand(kRowwise, ("output " + std::to_string(o)).c_str(), call.outputs[o], Kind::kAny, program.wide[reg] ? size : program.rows);
    program.result[o] = static_cast<int>(reg);
  }
  return program;
}

// Where registers lie: places are numbered, and each is an operand where it is, or memory of the part that runs.
template <class F>
class Rowwise final : public Instruction {
 public:
  Rowwise(const Call& call, const RowProgram& program)
      : table_(WENGERT_TABLE(Elementwise, F)), sums_(WENGERT_TABLE(Reduce, F)), rows_(program.rows), cols_(program.cols) {
    for (int i = 0; i < program.inputs; i++) dense_[i] = program.layout[i] == Layout::kDense;
    Build(call, program);
    Cut(program);
  }

  bool InPlace(std::size_t input) const override { return dense_[input]; }
  std::size_t Workspace() const override { return static_cast<std::size_t>(parts_) * part_bytes_; }

  bool Run(void* const* operands, Context& context) const override {
    if (rows_ == 0) return true;
    Parts parts{this, operands, static_cast<unsigned char*>(context.workspace)};
    if (parts_ > 1 && context.pool != nullptr) {
      context.pool->Run(parts_, RunPart, &parts);
      return true;
    }
    for (int part = 0; part < parts_; part++) RunPart(&parts, part);
    return true;
  }

 private:
  using Table = ElementwiseTable<F>;
  using Place = std::uint16_t;
  static constexpr int kMostPlaces = 2 * (kMaxInputs + kMaxConstants + kMaxOps);

  enum class Kind { kWide, kNarrow, kSum, kSpread };
  struct Step {
    Kind kind;
    typename Table::Map map;  // of kWide and kNarrow
    Place dst, a, b, c;
  };
  struct Store {
    typename Table::Store store;
    Place from;
    std::uint16_t output, size;  // `size`: bytes of an element
    bool wide;
  };
  // An input, and how it comes to its place.
  struct Feed {
    Layout layout;
    std::uint16_t operand, size;
    Place place;
    bool native;  // of the compute type
    bool wide;
    typename Table::Load load;
  };
  struct Parts {
    const Rowwise* self;
    void* const* operands;
    unsigned char* workspace;
  };

  static constexpr Dtype kOwn = sizeof(F) == 4 ? Dtype::kFloat32 : Dtype::kFloat64;

  // Places of the part's memory: wide ones and narrow ones, each used again when what it holds has been read.
  Place Take(bool wide) {
    std::vector<Place>& free = free_[wide ? 1 : 0];
    if (!free.empty()) {
      const Place top = free.back();
      free.pop_back();
      return top;
    }
    const Place place = static_cast<Place>(places_++);
    memory_.push_back({place, wide});
    return place;
  }

  // The output that a register may be computed in, or -1.
  static int Straight(const Call& call, const RowProgram& program, int reg) {
    for (int o = 0; o < program.outputs; o++) {
      if (program.result[o] == reg && call.outputs[o].dtype == kOwn) return o;
    }
    return -1;
  }

  void Build(const Call& call, const RowProgram& program) {
    const int first = program.inputs + program.constants;
    const std::size_t registers = static_cast<std::size_t>(first + program.ops);
    std::vector<int> last(registers, -1);
    for (int o = 0; o < program.outputs; o++) last[static_cast<std::size_t>(program.result[o])] = program.ops;
    for (int i = program.ops - 1; i >= 0; i--) {
      if (last[static_cast<std::size_t>(first + i)] < 0) continue;
      for (int slot = 0; slot < program.arity(i); slot++) {
        int& reader = last[static_cast<std::size_t>(program.op[i].operand[slot])];
        reader = std::max(reader, i);
      }
    }
    // What stands for one number everywhere fills whole rows only where an operation on those reads it.
    std::vector<bool> beside(registers, false);
    // The last operation that reads a dense input: an output may be its memory.
    int last_dense = -1;
    for (int i = 0; i < program.ops; i++) {
      const std::size_t own = static_cast<std::size_t>(first + i);
      if (last[own] < 0) continue;
      for (int slot = 0; slot < program.arity(i); slot++) {
        const int reg = program.op[i].operand[slot];
        if (program.wide[own]) beside[static_cast<std::size_t>(reg)] = true;
        if (reg < program.inputs && dense_[reg]) last_dense = i;
      }
    }
    std::vector<Place> place(registers), spread(registers, 0);
    std::vector<bool> spread_out(registers, false), owned(registers, true);
    for (int i = 0; i < program.inputs; i++) {
      const Dtype dtype = call.inputs[i].dtype;
      const Layout layout = program.layout[i];
      const bool native = dtype == kOwn;
      const bool placed = native && (layout == Layout::kDense || layout == Layout::kColumn);
      const bool whole = layout == Layout::kSingle ? beside[static_cast<std::size_t>(i)] : layout != Layout::kColumn;
      const Place to = placed ? static_cast<Place>(places_++) : Take(whole);
      place[static_cast<std::size_t>(i)] = to;
      feeds_.push_back({layout, static_cast<std::uint16_t>(program.outputs + i), static_cast<std::uint16_t>(SizeOf(dtype)), to, native, whole,
                        table_.load[static_cast<int>(dtype)]});
    }
    for (int i = 0; i < program.constants; i++) {
      const bool whole = beside[static_cast<std::size_t>(program.inputs + i)];
      constants_.push_back({Take(whole), static_cast<F>(call.scalars[i]), whole});
      place[static_cast<std::size_t>(program.inputs + i)] = constants_.back().place;
    }
    const auto everywhere = [&](int reg) {
      return reg >= program.inputs ? reg < first : program.layout[reg] == Layout::kSingle;
    };
    for (int i = 0; i < program.ops; i++) {
      const std::size_t own = static_cast<std::size_t>(first + i);
      if (last[own] < 0) continue;
      const Op& op = program.op[i];
      const int arity = program.arity(i);
      Place from[3];
      for (int slot = 0; slot < 3; slot++) {
        const int operand = op.operand[slot < arity ? slot : 0];
        const std::size_t reg = static_cast<std::size_t>(operand);
        if (!program.wide[own] || program.wide[reg] || everywhere(operand)) {
          from[slot] = place[reg];
          continue;
        }
        if (!spread_out[reg]) {
          spread_out[reg] = true;
          spread[reg] = Take(true);
          steps_.push_back({Kind::kSpread, nullptr, spread[reg], place[reg], place[reg], place[reg]});
        }
        from[slot] = spread[reg];
      }
      for (int slot = 0; slot < arity; slot++) {
        const std::size_t reg = static_cast<std::size_t>(op.operand[slot]);
        bool repeated = false;
        for (int earlier = 0; earlier < slot; earlier++) repeated = repeated || op.operand[earlier] == op.operand[slot];
        if (repeated || last[reg] != i) continue;
        if (spread_out[reg]) free_[1].push_back(spread[reg]);
        if (op.operand[slot] >= first && owned[reg]) free_[program.wide[reg] ? 1 : 0].push_back(place[reg]);
      }
      const int straight = program.wide[own] && i >= last_dense ? Straight(call, program, first + i) : -1;
      if (straight >= 0) {
        targets_.push_back({static_cast<Place>(places_++), static_cast<std::uint16_t>(straight)});
        place[own] = targets_.back().place;
        owned[own] = false;
      } else {
        place[own] = Take(program.wide[own]);
      }
      const bool sum = op.code == kSumOfRow;
      const Kind kind = sum ? Kind::kSum : program.wide[own] ? Kind::kWide : Kind::kNarrow;
      steps_.push_back({kind, sum ? nullptr : table_.map[op.code], place[own], from[0], from[1], from[2]});
    }
    // The other outputs are written when the tile has been read.
    for (int o = 0; o < program.outputs; o++) {
      const std::size_t reg = static_cast<std::size_t>(program.result[o]);
      if (!owned[reg] && Straight(call, program, program.result[o]) == o) continue;
      const Dtype dtype = call.outputs[o].dtype;
      stores_.push_back({table_.store[static_cast<int>(dtype)], place[reg], static_cast<std::uint16_t>(o),
                         static_cast<std::uint16_t>(SizeOf(dtype)), program.wide[reg]});
    }
  }

  // Rows in a tile, and parts for the pool.
  void Cut(const RowProgram& program) {
    const std::size_t each = static_cast<std::size_t>(std::max<std::int64_t>(cols_, 1));
    std::size_t wide = stores_.size() + targets_.size();
    for (int i = 0; i < program.inputs; i++) wide += dense_[i] ? 1 : 0;
    for (const Memory& memory : memory_) wide += memory.wide ? 1 : 0;
    const std::size_t most = thresholds::kCacheBytes / (sizeof(F) * each * std::max<std::size_t>(wide, 1));
    tall_ = std::max<std::int64_t>(1, std::min<std::int64_t>(rows_, static_cast<std::int64_t>(most)));
    tiles_ = (rows_ + tall_ - 1) / tall_;
    const std::size_t narrow_bytes = (static_cast<std::size_t>(tall_) * sizeof(F) + 63) / 64 * 64;
    const std::size_t wide_bytes = (static_cast<std::size_t>(tall_) * each * sizeof(F) + 63) / 64 * 64;
    for (Memory& memory : memory_) {
      memory.offset = part_bytes_;
      part_bytes_ += memory.wide ? wide_bytes : narrow_bytes;
    }
    double work = static_cast<double>(program.inputs + program.outputs);
    for (int i = 0; i < program.ops; i++) work += program.op[i].code == kSumOfRow ? 1 : kMicros[program.op[i].code].cost;
    work *= static_cast<double>(rows_) * static_cast<double>(cols_);
    if (work < thresholds::kSplitWork) return;
    const double parts = std::min({static_cast<double>(tiles_), work / (thresholds::kSplitWork / 2), static_cast<double>(Pool::threads())});
    parts_ = std::max(1, static_cast<int>(parts));
  }

  static void RunPart(void* argument, int part) {
    const Parts& parts = *static_cast<const Parts*>(argument);
    const Rowwise& self = *parts.self;
    self.RunTiles(parts.operands, parts.workspace + static_cast<std::size_t>(part) * self.part_bytes_, self.tiles_ * part / self.parts_,
                  self.tiles_ * (part + 1) / self.parts_);
  }

  // Runs on any thread.
  void RunTiles(void* const* operands, unsigned char* memory, std::int64_t begin, std::int64_t end) const {
    F* place[kMostPlaces];
    for (const Memory& own : memory_) place[own.place] = reinterpret_cast<F*>(memory + own.offset);
    const std::size_t cols = static_cast<std::size_t>(cols_);
    const std::size_t most = static_cast<std::size_t>(tall_), area = std::max<std::size_t>(cols, 1) * most;
    for (const Constant& constant : constants_) table_.fill(constant.wide ? area : most, place[constant.place], constant.value);
    for (const Feed& feed : feeds_) {
      if (feed.layout == Layout::kSingle) {
        F value;
        feed.load(1, &value, operands[feed.operand]);
        table_.fill(feed.wide ? area : most, place[feed.place], value);
      } else if (feed.layout == Layout::kRow) {
        for (std::int64_t r = 0; r < tall_; r++) feed.load(cols, place[feed.place] + r * cols_, operands[feed.operand]);
      }
    }
    for (std::int64_t tile = begin; tile < end; tile++) {
      const std::int64_t row = tile * tall_;
      const std::size_t height = static_cast<std::size_t>(std::min(tall_, rows_ - row));
      const std::size_t n = height * cols;
      for (const Target& target : targets_) place[target.place] = static_cast<F*>(operands[target.output]) + row * cols_;
      for (const Feed& feed : feeds_) {
        if (feed.layout != Layout::kDense && feed.layout != Layout::kColumn) continue;
        const bool dense = feed.layout == Layout::kDense;
        unsigned char* from = static_cast<unsigned char*>(operands[feed.operand]) + (dense ? row * cols_ : row) * feed.size;
        if (feed.native) place[feed.place] = reinterpret_cast<F*>(from);
        if (!feed.native) feed.load(dense ? n : height, place[feed.place], from);
      }
      for (const Step& step : steps_) {
        switch (step.kind) {
          case Kind::kWide: step.map(n, place[step.dst], place[step.a], place[step.b], place[step.c]); break;
          case Kind::kNarrow: step.map(height, place[step.dst], place[step.a], place[step.b], place[step.c]); break;
          case Kind::kSpread: table_.spread(height, cols, place[step.dst], place[step.a]); break;
          case Kind::kSum:
            for (std::size_t r = 0; r < height; r++) {
              place[step.dst][r] = static_cast<F>(sums_.sum_row(cols, place[step.a] + r * cols));
            }
        }
      }
      for (const Store& store : stores_) {
        unsigned char* to = static_cast<unsigned char*>(operands[store.output]) + (store.wide ? row * cols_ : row) * store.size;
        store.store(store.wide ? n : height, to, place[store.from]);
      }
    }
  }

  struct Memory {
    Place place;
    bool wide;
    std::size_t offset = 0;
  };
  struct Constant {
    Place place;
    F value;
    bool wide;
  };
  // An output that its register is computed in.
  struct Target {
    Place place;
    std::uint16_t output;
  };

  const Table& table_;
  const ReduceTable<F>& sums_;
  std::int64_t rows_, cols_;
  std::int64_t tall_ = 1, tiles_ = 0;  // rows of a tile; tiles
  int parts_ = 1, places_ = 0;
  std::size_t part_bytes_ = 0;
  bool dense_[kMaxInputs] = {};
  std::vector<Place> free_[2];
  std::vector<Memory> memory_;
  std::vector<Feed> feeds_;
  std::vector<Constant> constants_;
  std::vector<Target> targets_;
  std::vector<Step> steps_;
  std::vector<Store> stores_;
};

}  // namespace

std::unique_ptr<Instruction> PrepareRowwise(const Call& call) {
  const RowProgram program = Parse(call);
  if (call.ints[0] == 0) return std::make_unique<Rowwise<float>>(call, program);
  return std::make_unique<Rowwise<double>>(call, program);
}

}  // namespace wengert
