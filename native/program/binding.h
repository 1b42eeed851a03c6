// A program tied to memory: one array of pointers for all operands of all steps, made ahead, so that a run is a loop of
// calls. What moves between runs (windows) or is exchanged (the state, a caller's arrays) is patched through lists.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "program.h"

namespace wengert {

// kElsewhere: another process has failed.
enum class RunOutcome { kDone, kNonFinite, kBadIndex, kElsewhere, kAbandoned };

// Belongs to one thread at a time.
class Binding {
 public:
  // `arena` holds program->scratch_bytes(), aligned to 64, `row` program->report entries; both belong to the caller and outlive the
  // binding.
  Binding(std::shared_ptr<const Program> program, char* arena, double* row, Pool* pool);

  const Program& program() const { return *program_; }

  // `state` holds program().state_bytes.
  void AttachState(char* state);
  // The inputs' arrays, each seen from its cursor (elements; null: from the start). The caller has checked their
  // lengths.
  void AttachInputs(void* const* arrays, const std::int64_t* cursors);
  // Moves the windows on to the next run's.
  void Advance() {
    for (const Motion& window : windows_) pointers_[window.at] = Moved(pointers_[window.at], window.bytes);
  }

  // One run. Between any two instructions it may be abandoned for good, which leaves the state half changed.
  // Where processes vote in it, one that fails before comes to the vote nevertheless, so that it ends the run of all.
  RunOutcome Run(const std::atomic<bool>& abandon) {
    Alone(RunOutcome::kDone);
    return RunCalls(0, calls_.size(), abandon);
  }
  // One run that tests every floating output of every step; step by step, without lines.
  RunOutcome RunChecked(const std::atomic<bool>& abandon);
  // After a failure somewhere else: of a run only what the others wait for.
  RunOutcome RunRest(RunOutcome failed, const std::atomic<bool>& abandon) {
    Alone(failed);
    return RunSteps(0, program_->steps.size(), abandon);
  }

  // For programs that meet other processes: votes for an end of the training; whether any process has.
  void Vote(bool end) {
    context_.trains = true;
    context_.vote = end;
  }
  bool agreed() const { return context_.agreed; }

  // After a run that stopped: the step, and the index that was bad.
  std::size_t stopped_at() const { return stopped_at_; }
  const BadIndex& bad_index() const { return context_.bad_index; }

 private:
  struct BoundLoop;
  struct BoundCall {
    const Instruction* instruction;  // null: a line or a loop
    const BoundLine* line;
    const BoundLoop* loop;
    void* const* operands;
    std::size_t step;
    bool writes_cost;
    const Staged* staged = nullptr;  // what others may add up as it is made
  };
  // A pointer that moves with the iterations.
  struct Motion {
    std::size_t at;        // in pointers_
    std::uintptr_t bytes;  // modulo 2^64: back where negative
  };
  struct BoundLoop {
    std::int64_t length;
    std::size_t end;       // of its calls, which follow it
    std::size_t end_step;  // of its steps
    std::vector<Motion> moves;
  };
  struct Patch {
    std::size_t at;  // in pointers_
    std::size_t input;
    std::uintptr_t offset;  // bytes
    std::uintptr_t size;    // of an element
  };

  // In integers: a window that has passed its last run may point outside its array, and is not looked through.
  static void* Moved(void* pointer, std::uintptr_t bytes) {
    return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(pointer) + bytes);
  }
  static bool Finite(double value) { return value - value == 0; }

  void Alone(RunOutcome outcome) {
    alone_ = outcome;
    context_.failed = outcome != RunOutcome::kDone;
    context_.voted = context_.broken = false;
    context_.begun = 0;
  }
  // What a step's failure means for the run: kDone where the others have to learn of it first.
  RunOutcome Stopped(std::size_t step, RunOutcome outcome);
  RunOutcome StoppedIn(const BoundLine& line, const LineOp& op);

  RunOutcome RunCalls(std::size_t i, std::size_t end, const std::atomic<bool>& abandon) {
    if (alone_ != RunOutcome::kDone) return RunSteps(StepAt(i), StepAt(end), abandon);
    while (i < end) {
      const BoundCall& call = calls_[i];
      if (abandon.load(std::memory_order_relaxed)) return RunOutcome::kAbandoned;
      if (call.instruction == nullptr) {
        if (call.line != nullptr) {
          if (const LineOp* op = call.line->Run()) return Leave(StoppedIn(*call.line, *op), i + 1, end, abandon);
          if (call.staged != nullptr) Begin(call.staged->stages.back().pieces);
          i++;
          continue;
        }
        const RunOutcome outcome = RunLoop(*call.loop, i, abandon);
        i = call.loop->end;
        if (outcome != RunOutcome::kDone || alone_ != RunOutcome::kDone) return Leave(outcome, i, end, abandon);
        if (call.staged != nullptr) Begin(call.staged->stages.back().pieces);
        continue;
      }
      if (context_.begun > 0) Poll();
      if (call.staged != nullptr && call.staged->by_rows) {
        RunInStages(call);
        i++;
        continue;
      }
      if (!call.instruction->Run(call.operands, context_))
        return Leave(Stopped(call.step, RunOutcome::kBadIndex), i + 1, end, abandon);
      if (call.writes_cost && !Finite(*row_))
        return Leave(Stopped(call.step, RunOutcome::kNonFinite), i + 1, end, abandon);
      if (call.staged != nullptr) Begin(call.staged->stages.back().pieces);
      i++;
    }
    return RunOutcome::kDone;
  }
  // Begins the sums of what has been made. Not after a failure: the collective's own run then begins them.
  void Begin(std::size_t pieces);
  // Has those under way go on.
  void Poll() const;
  void RunInStages(const BoundCall& call);
  // After a failure: the rest of the calls, of which those are made that the others wait for.
  RunOutcome Leave(RunOutcome outcome, std::size_t i, std::size_t end, const std::atomic<bool>& abandon) {
    if (outcome != RunOutcome::kDone) return outcome;
    return RunSteps(StepAt(i), StepAt(end), abandon);
  }
  std::size_t StepAt(std::size_t call) const { return call < calls_.size() ? calls_[call].step : program_->steps.size(); }
  // The loop that is call (checked: step) number `at`. What it moves is back where it was when it ends, however it ends.
  RunOutcome RunLoop(const BoundLoop& loop, std::size_t at, const std::atomic<bool>& abandon, bool checked = false);
  RunOutcome RunSteps(std::size_t i, std::size_t end, const std::atomic<bool>& abandon);
  bool Finite(const Step& step, void* const* operands) const;
  std::unique_ptr<BoundLoop> Bind(const Loop& loop, std::size_t step) const;

  std::shared_ptr<const Program> program_;
  std::vector<void*> pointers_;  // one for each of program_->operands
  std::vector<BoundLine> lines_;
  std::vector<BoundCall> calls_;
  std::vector<std::unique_ptr<BoundLoop>> loops_;
  std::vector<const BoundLoop*> loop_of_;  // by step; null for others
  std::vector<Patch> state_;
  std::vector<Patch> inputs_;
  std::vector<Motion> windows_;  // by which a run moves them
  double* row_;
  char* attached_ = nullptr;
  Context context_;
  std::size_t stopped_at_ = 0;
  RunOutcome alone_ = RunOutcome::kDone;  // why this process only comes to what the others wait for
};

// Whether `length` elements of a floating type are neither NaN nor infinite.
bool AllFinite(const void* data, std::int64_t length, Dtype dtype);

}  // namespace wengert
