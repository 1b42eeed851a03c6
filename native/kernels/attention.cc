// Attention and its gradient. Of each sample and head a block of queries at a time meets all of its keys: their scores stay in a cache, whole
// rows of them become a softmax, and the rows of values are added up by it. The gradient computes the scores of a block again. Queries, keys
// and values are read where they lie, heads side by side, and gradients written so.
//
// m samples, T queries of d, S keys of d and values of e, as in lib/backend/program.ts.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "checks.h"
#include "isa.h"
#include "rooms.h"
#include "thresholds.h"
#include "../program/pool.h"

namespace wengert {

namespace {

struct Sizes {
  std::int64_t m, heads, t, s, d, e, operands, causal;
  std::int64_t mask[4];

  bool masked() const { return mask[0] > 0; }
  double work() const {
    return static_cast<double>(m * heads) * static_cast<double>(t) * static_cast<double>(s) * static_cast<double>(d + e);
  }
};

// Where the rows of an operand's heads lie: which operand it is, where the first one begins, and how far apart they are.
struct Place {
  int operand;
  std::int64_t offset, row, steps, width;

  // The first row of a sample's head.
  template <class P>
  P* Of(P* x, std::int64_t sample, std::int64_t head) const {
    return x + offset + sample * steps * row + head * width;
  }
};

// Rows of one head in memory, `stride` apart, in whole vectors.
template <class F>
struct Rows {
  F* at;
  std::ptrdiff_t stride;
};

// A part's memory, handed out piece by piece; without any it counts the bytes.
template <class F>
class Arena {
 public:
  explicit Arena(void* memory) : memory_(static_cast<char*>(memory)) {}
  F* Take(std::int64_t elements) {
    char* const taken = memory_ == nullptr ? nullptr : memory_ + bytes_;
    bytes_ += (static_cast<std::size_t>(elements) * sizeof(F) + 63) / 64 * 64;
    return reinterpret_cast<F*>(taken);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  char* memory_;
  std::size_t bytes_ = 0;
};

// What both calls share: the geometry, how it is cut into parts, and the softmax of a block.
template <class F>
class Base : public Instruction {
 public:
  Base(const Sizes& s, Dtype mask, double scale) : s_(s), hides_(mask == Dtype::kBool), scale_(static_cast<F>(scale)), table_(WENGERT_TABLE(Attention, F)) {
    const std::int64_t keys = s.heads * s.d, values = s.heads * s.e;
    const std::int64_t beside = s.operands == 3 ? 0 : values + keys + (s.operands == 1 ? keys : 0);
    q_ = {0, 0, s.operands == 1 ? beside : keys, s.t, s.d};
    k_ = {s.operands == 1 ? 0 : 1, s.operands == 1 ? keys : 0, beside > 0 ? beside : keys, s.s, s.d};
    v_ = {static_cast<int>(s.operands) - 1, s.operands == 1 ? 2 * keys : s.operands == 2 ? keys : 0, beside > 0 ? beside : values, s.s, s.e};
    y_ = {0, 0, values, s.t, s.e};
    keys_ = Whole(s.s);
    // Rows that lie a power of two apart would meet in few lines of a cache.
    pitch_ = keys_ + (keys_ % 256 == 0 ? lanes() : 0);
    const std::int64_t fit = std::max<std::int64_t>(1, thresholds::kScoresOfBlock / std::max<std::int64_t>(1, keys_)) / 8 * 8;
    block_ = std::max<std::int64_t>(1, std::min(s.t, std::clamp(fit, thresholds::kFewestQueries, thresholds::kMostQueries)));
    blocks_ = (s.t + block_ - 1) / block_;
  }

  std::size_t Workspace() const override { return static_cast<std::size_t>(parts_) * part_; }

 protected:
  std::int64_t lanes() const { return static_cast<std::int64_t>(table_.lanes); }
  std::int64_t Whole(std::int64_t n) const { return (n + lanes() - 1) / lanes() * lanes(); }
  // Keys that the queries before `end` look at.
  std::int64_t Seen(std::int64_t end) const { return s_.causal != 0 ? std::min(s_.s, end) : s_.s; }

  void Cut(std::int64_t things, std::size_t bytes) {
    const std::int64_t most = s_.work() < thresholds::kSplitAttention ? 1 : Pool::threads();
    parts_ = static_cast<int>(std::max<std::int64_t>(1, std::min(most, things)));
    part_ = bytes;
    things_ = things;
  }

  // Runs task(from, to, memory) over all things, a part at a time.
  template <class Task>
  void Parts(Context& context, const Task& task) const {
    auto run = [&](int part) {
      task(things_ * part / parts_, things_ * (part + 1) / parts_, static_cast<char*>(context.workspace) + static_cast<std::size_t>(part) * part_);
    };
    if (parts_ == 1 || context.pool == nullptr) {
      for (int part = 0; part < parts_; part++) run(part);
      return;
    }
    using Run = decltype(run);
    context.pool->Run(
        parts_, [](void* argument, int part) { (*static_cast<Run*>(argument))(part); }, &run);
  }

  void Multiply(std::int64_t rows, std::int64_t depth, std::int64_t columns, const F* a, std::ptrdiff_t a_row, std::ptrdiff_t a_step,
                const Rows<const F>& b, const Rows<F>& c, bool add) const {
    table_.product(static_cast<std::size_t>(rows), static_cast<std::size_t>(depth), static_cast<std::size_t>(Whole(columns)), a, a_row, a_step,
                   b.at, b.stride, c.at, c.stride, add);
  }
  void Transpose(std::int64_t rows, std::int64_t columns, const F* x, std::ptrdiff_t row, F scale, F* to) const {
    table_.transpose(static_cast<std::size_t>(rows), static_cast<std::size_t>(columns), x, row, scale, to, static_cast<std::size_t>(keys_));
  }

  // Memory for rows that are no whole vectors; those that are lie where they are.
  F* TakeRows(Arena<F>& arena, std::int64_t rows, std::int64_t width) const {
    return width == Whole(width) ? nullptr : arena.Take(rows * Whole(width));
  }
  // The rows as whole vectors: as they lie, or copied.
  Rows<const F> Read(const F* x, std::ptrdiff_t row, std::int64_t rows, std::int64_t width, F* own) const {
    if (own == nullptr) return {x, row};
    const std::int64_t whole = Whole(width);
    for (std::int64_t i = 0; i < rows; i++) {
      std::memcpy(own + i * whole, x + i * row, static_cast<std::size_t>(width) * sizeof(F));
      std::fill(own + i * whole + width, own + (i + 1) * whole, F(0));
    }
    return {own, whole};
  }
  // Where rows are written as whole vectors: where they lie, or beside; `Put` brings these there.
  Rows<F> Write(F* x, std::ptrdiff_t row, std::int64_t width, F* own) const {
    return own == nullptr ? Rows<F>{x, row} : Rows<F>{own, Whole(width)};
  }
  void Put(const Rows<F>& from, F* x, std::ptrdiff_t row, std::int64_t rows, std::int64_t width) const {
    if (from.at == x) return;
    for (std::int64_t i = 0; i < rows; i++) std::memcpy(x + i * row, from.at + i * from.stride, static_cast<std::size_t>(width) * sizeof(F));
  }

  // The scores of queries from … to − 1 become exponentials in rows of whole vectors of keys; `inverse` is 1 over the sum of each.
  void Exponentials(F* scores, std::int64_t sample, std::int64_t head, std::int64_t from, std::int64_t to, const void* mask, F* inverse) const {
    const F never = -static_cast<F>(INFINITY);
    const std::int64_t whole = Whole(Seen(to));
    bool nowhere = false;
    for (std::int64_t i = from; i < to; i++) {
      F* const row = scores + (i - from) * pitch_;
      const std::int64_t seen = Seen(i + 1);
      std::fill(row + seen, row + whole, never);
      inverse[i - from] = s_.masked() && !Mask(row, seen, mask, sample, head, i) ? 0 : 1;
      nowhere = nowhere || inverse[i - from] == 0;
    }
    if (!nowhere) {
      table_.exponentials(static_cast<std::size_t>(to - from), static_cast<std::size_t>(whole), static_cast<std::size_t>(pitch_), scores, inverse);
      return;
    }
    for (std::int64_t i = from; i < to; i++, scores += pitch_, inverse++) {
      if (*inverse == 0) {
        std::fill(scores, scores + whole, F(0));
      } else {
        table_.exponentials(1, static_cast<std::size_t>(whole), static_cast<std::size_t>(pitch_), scores, inverse);
      }
    }
  }

  const Sizes s_;
  const bool hides_;  // the mask is bool
  const F scale_;
  const AttentionTable<F>& table_;
  Place q_, k_, v_, y_;
  std::int64_t keys_, pitch_;     // of a row of keys, of a row of scores
  std::int64_t block_, blocks_;   // queries of a block, and how many blocks there are
  int parts_ = 1;
  std::size_t part_ = 0;
  std::int64_t things_ = 0;

 private:
  // A row of scores under the mask. Whether the query may look anywhere.
  bool Mask(F* scores, std::int64_t seen, const void* mask, std::int64_t sample, std::int64_t head, std::int64_t query) const {
    const std::int64_t* n = s_.mask;
    std::int64_t row = n[0] > 1 ? sample : 0;
    row = row * n[1] + (n[1] > 1 ? head : 0);
    row = row * n[2] + (n[2] > 1 ? query : 0);
    const std::size_t count = static_cast<std::size_t>(seen);
    if (hides_) {
      const std::uint8_t* own = static_cast<const std::uint8_t*>(mask) + row * n[3];
      return n[3] == s_.s ? table_.hide(count, own, scores) : *own != 0;
    }
    const F* own = static_cast<const F*>(mask) + row * n[3];
    if (n[3] == s_.s) return table_.add(count, own, scores);
    for (std::int64_t i = 0; i < seen; i++) scores[i] += *own;
    return *own != -static_cast<F>(INFINITY);
  }
};

template <class F>
class Attention final : public Base<F> {
 public:
  Attention(const Sizes& s, Dtype mask, double scale) : Base<F>(s, mask, scale) {
    Arena<F> counted(nullptr);
    Scratch(*this, counted);
    this->Cut(s.m * s.heads * this->blocks_, counted.bytes());
  }

  bool Run(void* const* operands, Context& context) const override {
    const Sizes& s = this->s_;
    if (s.e == 0) return true;
    const F* const x[] = {static_cast<const F*>(operands[1]), static_cast<const F*>(operands[s.operands > 1 ? 2 : 1]),
                          static_cast<const F*>(operands[s.operands > 2 ? 3 : 1])};
    const void* const mask = s.masked() ? operands[1 + s.operands] : nullptr;
    this->Parts(context, [&](std::int64_t from, std::int64_t to, void* memory) {
      Arena<F> arena(memory);
      const Scratch own(*this, arena);
      Rows<const F> values{};
      for (std::int64_t at = from; at < to && !Pool::Leaving(); at++) {
        const std::int64_t sample = at / this->blocks_ / s.heads, head = at / this->blocks_ % s.heads;
        if (at == from || at % this->blocks_ == 0) {
          this->Transpose(s.s, s.d, this->k_.Of(x[this->k_.operand], sample, head), this->k_.row, this->scale_, own.keys);
          values = this->Read(this->v_.Of(x[this->v_.operand], sample, head), this->v_.row, s.s, s.e, own.values);
        }
        const std::int64_t first = at % this->blocks_ * this->block_, end = std::min(s.t, first + this->block_);
        const std::int64_t seen = this->Seen(end);
        const F* const q = this->q_.Of(x[0], sample, head) + first * this->q_.row;
        this->Multiply(end - first, s.d, seen, q, this->q_.row, 1, {own.keys, this->keys_}, {own.scores, this->pitch_}, false);
        this->Exponentials(own.scores, sample, head, first, end, mask, own.inverse);
        F* const y = this->y_.Of(static_cast<F*>(operands[0]), sample, head) + first * this->y_.row;
        const Rows<F> results = this->Write(y, this->y_.row, s.e, own.results);
        this->Multiply(end - first, seen, s.e, own.scores, this->pitch_, 1, values, results, false);
        this->table_.scale(static_cast<std::size_t>(end - first), static_cast<std::size_t>(this->Whole(s.e)), results.stride, results.at, own.inverse);
        this->Put(results, y, this->y_.row, end - first, s.e);
      }
    });
    return true;
  }

 private:
  struct Scratch {
    Scratch(const Attention& a, Arena<F>& arena)
        : keys(arena.Take(a.s_.d * a.keys_)),
          values(a.TakeRows(arena, a.s_.s, a.s_.e)),
          scores(arena.Take(a.block_ * a.pitch_)),
          inverse(arena.Take(a.block_)),
          results(a.TakeRows(arena, a.block_, a.s_.e)) {}
    F *keys, *values, *scores, *inverse, *results;
  };
};

template <class F>
class AttentionGrad final : public Base<F> {
 public:
  AttentionGrad(const Sizes& s, Dtype mask, double scale) : Base<F>(s, mask, scale) {
    Arena<F> counted(nullptr);
    Scratch(*this, counted);
    this->Cut(s.m * s.heads, counted.bytes());
  }

  bool Run(void* const* operands, Context& context) const override {
    const Sizes& s = this->s_;
    void* const* const inputs = operands + s.operands;
    this->Parts(context, [&](std::int64_t from, std::int64_t to, void* memory) {
      Arena<F> arena(memory);
      const Scratch own(*this, arena);
      for (std::int64_t at = from; at < to && !Pool::Leaving(); at++) Head(operands, inputs, at / s.heads, at % s.heads, own);
    });
    return true;
  }

 private:
  struct Scratch {
    Scratch(const AttentionGrad& a, Arena<F>& arena)
        : keys(arena.Take(a.s_.d * a.keys_)),
          values(arena.Take(a.s_.e * a.keys_)),
          weights(arena.Take(a.block_ * a.pitch_)),
          slopes(arena.Take(a.block_ * a.pitch_)),
          inverse(arena.Take(a.block_)),
          k(a.TakeRows(arena, a.s_.s, a.s_.d)),
          q(a.TakeRows(arena, a.block_, a.s_.d)),
          g(a.TakeRows(arena, a.block_, a.s_.e)),
          dq(a.TakeRows(arena, a.block_, a.s_.d)),
          dk(a.TakeRows(arena, a.s_.s, a.s_.d)),
          dv(a.TakeRows(arena, a.s_.s, a.s_.e)) {}
    // Keys and values transposed; a block of weights and of the scores' gradients; rows that are no whole vectors.
    F *keys, *values, *weights, *slopes, *inverse, *k, *q, *g, *dq, *dk, *dv;
  };

  void Head(void* const* outputs, void* const* inputs, std::int64_t sample, std::int64_t head, const Scratch& own) const {
    const Sizes& s = this->s_;
    const auto in = [&](const Place& place) { return place.Of(static_cast<const F*>(inputs[place.operand]), sample, head); };
    const auto out = [&](const Place& place) { return place.Of(static_cast<F*>(outputs[place.operand]), sample, head); };
    const void* const mask = s.masked() ? inputs[s.operands] : nullptr;
    const F* const g = this->y_.Of(static_cast<const F*>(inputs[s.operands + (s.masked() ? 1 : 0)]), sample, head);
    const F *const q = in(this->q_), *const k = in(this->k_), *const v = in(this->v_);
    F *const dq = out(this->q_), *const dk = out(this->k_), *const dv = out(this->v_);
    const std::ptrdiff_t pitch = this->pitch_;

    this->Transpose(s.s, s.d, k, this->k_.row, this->scale_, own.keys);
    this->Transpose(s.s, s.e, v, this->v_.row, F(1), own.values);
    const Rows<const F> keys = this->Read(k, this->k_.row, s.s, s.d, own.k);
    const Rows<F> to_keys = this->Write(dk, this->k_.row, s.d, own.dk), to_values = this->Write(dv, this->v_.row, s.e, own.dv);
    // What the first block looks at it writes; the rest begins with zeros.
    const std::int64_t first_seen = s.t == 0 ? 0 : this->Seen(this->block_);
    for (std::int64_t i = first_seen; i < s.s; i++) {
      std::fill_n(to_keys.at + i * to_keys.stride, this->Whole(s.d), F(0));
      std::fill_n(to_values.at + i * to_values.stride, this->Whole(s.e), F(0));
    }
    for (std::int64_t first = 0; first < s.t; first += this->block_) {
      const std::int64_t end = std::min(s.t, first + this->block_), rows = end - first, seen = this->Seen(end);
      const Rows<const F> queries = this->Read(q + first * this->q_.row, this->q_.row, rows, s.d, own.q);
      const Rows<const F> results = this->Read(g + first * this->y_.row, this->y_.row, rows, s.e, own.g);
      this->Multiply(rows, s.d, seen, queries.at, queries.stride, 1, {own.keys, this->keys_}, {own.weights, pitch}, false);
      this->Exponentials(own.weights, sample, head, first, end, mask, own.inverse);
      this->Multiply(rows, s.e, seen, results.at, results.stride, 1, {own.values, this->keys_}, {own.slopes, pitch}, false);
      this->table_.slopes(static_cast<std::size_t>(rows), static_cast<std::size_t>(this->Whole(seen)), static_cast<std::size_t>(pitch), this->scale_,
                          own.inverse, own.weights, own.slopes);
      const Rows<F> to_queries = this->Write(dq + first * this->q_.row, this->q_.row, s.d, own.dq);
      this->Multiply(rows, seen, s.d, own.slopes, pitch, 1, keys, to_queries, false);
      this->Put(to_queries, dq + first * this->q_.row, this->q_.row, rows, s.d);
      this->Multiply(seen, rows, s.d, own.slopes, 1, pitch, queries, to_keys, first > 0);
      this->Multiply(seen, rows, s.e, own.weights, 1, pitch, results, to_values, first > 0);
    }
    this->Put(to_keys, dk, this->k_.row, s.s, s.d);
    this->Put(to_values, dv, this->v_.row, s.s, s.e);
  }
};

// The operands q, k and v of a call, of inputs or outputs.
void CheckParts(const char* op, const Sizes& s, const Operand* operands, Kind kind) {
  const std::int64_t keys = Volume(op, {s.heads, s.d}), values = Volume(op, {s.heads, s.e});
  const std::int64_t widths[3][3] = {{2 * keys + values}, {keys, keys + values}, {keys, keys, values}};
  const char* const names[3][3] = {{"q, k, v"}, {"q", "k, v"}, {"q", "k", "v"}};
  for (std::int64_t i = 0; i < s.operands; i++) {
    CheckOperand(op, names[s.operands - 1][i], operands[i], kind, Volume(op, {s.m, i == 0 ? s.t : s.s, widths[s.operands - 1][i]}));
  }
}

template <template <class> class Kernel>
std::unique_ptr<Instruction> PrepareAttentionOf(const char* op, const Call& call, bool gradient) {
  const std::int64_t* i = CheckDims(op, call, 12);
  const double* scale = CheckScalars(op, call, 1);
  const Sizes s = {i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7], {i[8], i[9], i[10], i[11]}};
  if (s.operands < 1 || s.operands > 3) Refuse(op, "1, 2 or 3 operands", s.operands);
  if (s.causal > 1) Refuse(op, "causal to be 0 or 1", s.causal);
  if (s.s < 1) Refuse(op, "a key or more", s.s);
  if (s.operands == 1 && s.t != s.s) Refuse(op, "as many queries as keys that lie beside them", s.t);
  const std::int64_t whole[] = {s.m, s.heads, s.t, s.s};
  for (int axis = 0; axis < 4; axis++) {
    const bool fits = s.masked() ? s.mask[axis] == 1 || s.mask[axis] == whole[axis] : s.mask[axis] == 0;
    if (!fits) Refuse(op, "a mask's dimension of 1 or " + std::to_string(whole[axis]), s.mask[axis]);
  }
  // The scratch of a block, exactly.
  Volume(op, {s.s, s.d + s.e, 1024});
  const std::size_t operands = static_cast<std::size_t>(s.operands), mask = s.masked() ? 1 : 0;
  CheckCounts(op, call, gradient ? operands : 1, operands + mask + (gradient ? 1 : 0));
  const Dtype dtype = call.inputs[0].dtype;
  const Kind kind = IsFloat(dtype) ? Exactly(dtype) : Kind::kFloat;
  CheckParts(op, s, call.inputs, kind);
  if (mask > 0) {
    const Operand& own = call.inputs[operands];
    CheckOperand(op, "mask", own, own.dtype == Dtype::kBool ? Kind::kBool : kind, Volume(op, {s.mask[0], s.mask[1], s.mask[2], s.mask[3]}));
  }
  const std::int64_t results = Volume(op, {s.m, s.t, s.heads, s.e});
  if (gradient) {
    CheckParts(op, s, call.outputs, kind);
    CheckOperand(op, "g", call.inputs[operands + mask], kind, results);
  } else {
    CheckOperand(op, "y", call.outputs[0], kind, results);
  }
  const Dtype hides = mask > 0 ? call.inputs[operands].dtype : dtype;
  if (dtype == Dtype::kFloat32) return std::make_unique<Kernel<float>>(s, hides, *scale);
  return std::make_unique<Kernel<double>>(s, hides, *scale);
}

}  // namespace

std::unique_ptr<Instruction> PrepareAttention(const Call& call) { return PrepareAttentionOf<Attention>("attention", call, false); }
std::unique_ptr<Instruction> PrepareAttentionGrad(const Call& call) { return PrepareAttentionOf<AttentionGrad>("attentionGrad", call, true); }

}  // namespace wengert
