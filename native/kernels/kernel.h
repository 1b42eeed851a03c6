// The contract of a kernel: plain C++, no Node headers, no knowledge of programs.
//
// A kernel is prepared once from the description of a call (element types, lengths, integers, scalars), which is where
// everything that can be checked is checked, and is then run many times on pointers. `lib/backend/program.ts` documents
// every kernel's operands and integers; `lib/backend/js/` is its readable definition.
//
// To add one: a line in `kernelNames` and its table there, a Prepare function in the room it belongs to, a line in
// rooms.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace wengert {

class Pool;        // program/pool.h
class LineWriter;  // line.h

enum class Dtype : std::uint8_t { kFloat32 = 0, kFloat64 = 1, kInt32 = 2, kBool = 3 };

inline std::size_t SizeOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kFloat64: return 8;
    case Dtype::kBool: return 1;
    default: return 4;
  }
}

struct Operand {
  Dtype dtype;
  std::int64_t length;  // elements
};

// A call without its data. The pointers belong to the caller and live only as long as the Prepare call.
struct Call {
  const Operand* outputs;
  std::size_t output_count;
  const Operand* inputs;
  std::size_t input_count;
  const std::int64_t* ints;
  std::size_t int_count;
  const double* scalars;
  std::size_t scalar_count;
};

// Thrown by Prepare for a malformed call; the boundary turns it into ERR_PROGRAM.
class Malformed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A bad index met while running: the element of the index operand, its value, the size that it had to be below.
struct BadIndex {
  std::int64_t position;
  double value;
  std::int64_t size;
};

// Some elements of an output, one after the other.
struct Piece {
  std::int64_t begin, end;
};

// How an output can be made piece by piece, with the same bits: in rows, cut at multiples of `unit`. No rows: only as a whole.
struct RowCuts {
  std::int64_t rows = 0;
  std::int64_t unit = 1;
};

// What a running instruction may use. One Context belongs to one thread at a time.
struct Context {
  Pool* pool = nullptr;      // null: this call stays on one thread
  void* workspace = nullptr; // what Workspace() asks for, aligned to 64 bytes
  BadIndex bad_index{};      // set by a run that returns false
  bool trains = false;       // this is a training's thread: collectives take its channel, and carry its vote
  bool vote = false;         // whether this process wants the training to stop
  bool agreed = false;       // set by a collective: whether any does
  bool failed = false;       // this process could not make what the others add up: its vote ends the run for all
  std::size_t begun = 0;     // pieces of a collective under way, before its own run
  bool voted = false;        // set by a collective that carries votes
  bool broken = false;       // set by one that returns false because a process has failed
};

// A prepared call. Immutable: one Instruction may run on several threads at once, each with its own Context.
class Instruction {
 public:
  virtual ~Instruction() = default;
  // `operands` holds the outputs, then the inputs. Returns false after a bad index (context.bad_index is set), or where
  // another process has failed (context.broken is); outputs are then undefined. Never allocates, never throws.
  virtual bool Run(void* const* operands, Context& context) const = 0;
  // Whether an output may be exactly the memory of this input (same start, length and type). All other outputs, but for Within, must be
  // disjoint from each other and from all inputs: whoever binds operands checks it.
  virtual bool InPlace(std::size_t input) const {
    static_cast<void>(input);
    return false;
  }
  // Where an input of one type with the output may lie in it, in elements; negative: nowhere.
  virtual std::int64_t Within(std::size_t input) const {
    static_cast<void>(input);
    return -1;
  }
  // Bytes of scratch that a run wants in its context; whoever runs instructions has the largest once.
  virtual std::size_t Workspace() const { return 0; }
  // Whether a run meets the other processes' of a world: all have to come.
  virtual bool Meets() const { return false; }
  // Whether it carries each process's vote.
  virtual bool Votes() const { return false; }
  // The pieces of its output that a collective may add up before it is run, while what comes before it is still made; on all processes the
  // same ones, begun in this order.
  virtual std::vector<Piece> Pieces() const { return {}; }
  // Begins those of the first `pieces` that have not been begun. Nothing may touch them from now until the run is done.
  virtual void Begin(std::size_t pieces, void* const* operands, Context& context) const {
    static_cast<void>(pieces), static_cast<void>(operands), static_cast<void>(context);
  }
  virtual RowCuts Cuts() const { return {}; }
  // Makes the rows begin … end − 1 of all: what has such cuts never fails.
  virtual void RunRows(std::int64_t begin, std::int64_t end, void* const* operands, Context& context) const {
    static_cast<void>(begin), static_cast<void>(end), static_cast<void>(operands), static_cast<void>(context);
  }
  // Writes the call as operations on single numbers that give the same bits: only what is very small. Returns false
  // where it cannot be; what was written so far is then taken back.
  virtual bool Write(LineWriter& line) const {
    static_cast<void>(line);
    return false;
  }
};

using Prepare = std::unique_ptr<Instruction> (*)(const Call& call);

// The kernels, in the order in which programs number them: registry.cc.
struct KernelEntry {
  const char* name;
  Prepare prepare;
};
extern const KernelEntry kKernels[];
extern const std::size_t kKernelCount;

// The elementwise kernel's micro-operations, in the order of their codes: elementwise_ops.h.
extern const char* const kElementwiseNames[];
extern const std::size_t kElementwiseCount;

}  // namespace wengert
