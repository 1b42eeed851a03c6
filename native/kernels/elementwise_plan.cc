// Where the registers of a micro-program lie, and how wide a tile is: made once, when an elementwise call is prepared.
#include <algorithm>

#include "elementwise.h"
#include "thresholds.h"

namespace wengert::micro {

template <class F>
Elementwise<F>::Elementwise(const Call& call, const MicroProgram& program)
    : table_(WENGERT_TABLE(Elementwise, F)),
      rows_(program.rows),
      cols_(program.cols),
      size_(program.rows * program.cols) {
  for (int i = 0; i < program.inputs; i++) dense_[i] = program.layout[i] == Layout::kDense;
  if (size_ == 0) return;
  if (size_ * std::max(program.ops, 1) <= thresholds::kMostOpsInLine) micro_ = std::make_unique<const MicroProgram>(program);
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
          ? thresholds::kWidestTile
          : std::clamp<std::size_t>(thresholds::kCacheBytes / (sizeof(F) * std::max<std::size_t>(live, 1)), thresholds::kNarrowTile,
                                    thresholds::kWideTile);
  if (scratch > 0) widest = std::min(widest, thresholds::kScratchBytes / (sizeof(F) * static_cast<std::size_t>(scratch)));
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
           static_cast<std::size_t>(scratch) * tile_ * sizeof(F) <= thresholds::kSmallScratchBytes;
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

template Elementwise<float>::Elementwise(const Call& call, const MicroProgram& program);
template Elementwise<double>::Elementwise(const Call& call, const MicroProgram& program);

}  // namespace wengert::micro
