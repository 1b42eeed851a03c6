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
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "isa.h"
#include "micro_program.h"

namespace wengert {

namespace micro {

// Inputs, constants, outputs, and a scratch tile for each of: an input, an operation's result, an input kept aside.
constexpr int kMaxPlaces = 3 * kMaxInputs + kMaxConstants + kMaxOutputs + kMaxOps;

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

}  // namespace micro
}  // namespace wengert
