// Blocks of runs over one state: so many epochs, each the same list of (program, repeat).
//
// A runner is made, given its blocks and asked for their results on the JavaScript thread; Work alone runs on the
// training thread. Between Begin and End the runner, its state's block and its arrays belong to that thread. Cancel,
// Abandon and the progress may be used from any thread at any time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "binding.h"
#include "memory.h"
#include "state.h"

namespace wengert {

// An array given to a runner. `copy` holds its elements, or is empty where it is borrowed (shared memory).
struct RunnerArray {
  bool given = false;
  Dtype dtype = Dtype::kFloat32;
  std::int64_t length = 0;
  void* data = nullptr;
  Memory copy;

  // Copies the elements.
  static RunnerArray Copied(Dtype dtype, std::int64_t length, const void* data);
  // The caller keeps the memory alive as long as the runner.
  static RunnerArray Borrowed(Dtype dtype, std::int64_t length, void* data);
};

struct Segment {
  std::size_t program;
  std::int64_t repeat;
};

struct Block {
  std::int64_t epochs = 0;
  bool checked = false;
  std::vector<Segment> segments;
  std::vector<RunnerArray> windows;  // one for each input, given or not

  // `words`: epochs, checked, then program and repeat of each segment. The windows are left to the caller.
  static Block Parse(const double* words, std::size_t count);
};

enum class BlockStatus { kDone, kCancelled, kFailed, kAbandoned };

struct Failure {
  bool index = false;      // a bad index; else something not finite
  bool elsewhere = false;  // of another process
  std::size_t program = 0;
  std::int64_t epoch = 0;
  std::int64_t run = 0;
  std::int64_t step = 0;  // -1: the state, when the block ended
  BadIndex bad{};
};

struct BlockResult {
  BlockStatus status = BlockStatus::kDone;
  std::int64_t epochs = 0;
  std::int64_t runs = 0;
  std::int64_t kept = 0;
  std::int64_t rows = 0;  // of the report: the finished epochs, and the unfinished one where there is one
  Failure failure;
};

class Runner {
 public:
  // Throws Malformed where programs, state and arrays do not fit together.
  Runner(std::shared_ptr<State> state, std::vector<std::shared_ptr<const Program>> programs,
         std::vector<RunnerArray> arrays);
  ~Runner();

  // Checks a block and makes ready for it; throws before anything has changed.
  void Begin(Block block);
  // On the training thread. Never throws, never allocates.
  void Work();
  // Gives the state back. The result stays until the next Begin.
  void End();

  // Lets the copies of the arrays go. Not between Begin and End.
  void Free();

  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  void Abandon() { abandoned_.store(true, std::memory_order_relaxed); }

  struct Progress {
    std::int64_t runs;
    std::int64_t epochs;
    double cost;
  };
  Progress progress() const;

  const BlockResult& result() const { return result_; }
  const double* report() const { return reinterpret_cast<const double*>(report_.data()); }
  std::size_t report_entries() const { return row_.size(); }
  // Drops the report's memory, once it was copied.
  void ReleaseReport() { report_ = Memory(); }

  State& state() { return *state_; }
  std::size_t footprint() const;

 private:
  const ProgramInput& InputAt(std::size_t program, std::size_t input) const {
    return programs_[program]->inputs[input];
  }
  void CheckArray(std::size_t input, const RunnerArray& array, const char* what) const;
  void CheckReach(const Block& block, std::size_t input, std::int64_t length) const;
  void CheckWritable(const Block& block) const;

  // On the training thread.
  BlockStatus Loop();
  BlockStatus RunSegment(const Segment& segment);
  void EndEpoch();
  void PartWays(RunOutcome outcome);
  void Fail(RunOutcome outcome, const Binding& binding, std::size_t program);

  std::shared_ptr<State> state_;
  std::vector<std::shared_ptr<const Program>> programs_;
  std::vector<RunnerArray> arrays_;
  std::vector<double> row_;  // the running epoch's report, shared by all programs
  Memory arena_;             // so is the arena: its content between runs means nothing
  std::vector<std::unique_ptr<Binding>> bindings_;

  // The running block.
  Block block_;
  std::vector<void*> pointers_;        // of the inputs
  std::vector<std::int64_t> cursors_;  // elements
  Memory report_;                      // a row for each epoch, and one more
  std::int64_t epoch_ = 0;
  std::size_t segment_ = 0;
  std::int64_t index_ = 0;  // runs made of the segment
  std::chrono::steady_clock::time_point snapshot_at_;
  std::chrono::steady_clock::duration snapshot_took_{};
  std::chrono::steady_clock::time_point looked_at_;
  int stride_ = 1;    // epochs from one look at the clock to the next
  int unlooked_ = 1;  // of them left
  BlockResult result_;

  // Programs that meet other processes: all end together, when any has voted for it.
  bool meets_ = false;
  bool agreed_ = false;
  bool Ends() const { return meets_ ? agreed_ : cancelled_.load(std::memory_order_relaxed); }

  std::atomic<bool> cancelled_{false};
  std::atomic<bool> abandoned_{false};
  std::atomic<std::int64_t> runs_{0};
  std::atomic<std::int64_t> epochs_{0};
  std::atomic<double> cost_;
};

}  // namespace wengert
