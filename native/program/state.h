// The state block (parameters, optimiser state, running statistics) and its snapshots.
//
// Two threads know a state. While no runner works on it, the JavaScript thread alone does, and reads and writes the
// block itself. While one does (Begin … End), the block belongs to the training thread, and the JavaScript thread reads
// the front snapshot: the end of an epoch at which every floating value was finite. Until the training thread has made
// the first one, readers see the block, which nobody changes before. The lock is held for the exchange
// of the two buffers and for the copies that a reader makes, never while values are tested or copied by the training
// thread. All ranges of one Read are of one snapshot.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "memory.h"
#include "words.h"

namespace wengert {

struct FloatRange {
  std::size_t offset;  // bytes
  std::int64_t length;
  Dtype dtype;
};

class State {
 public:
  // `words`: offset, length and dtype of each floating range. Throws Malformed or std::bad_alloc.
  State(std::size_t bytes, const double* words, std::size_t count);

  char* data() const { return block_.data(); }
  std::size_t bytes() const { return block_.bytes(); }
  // What it takes at the moment, snapshots included.
  std::size_t footprint() const { return block_.bytes() + front_.bytes() + back_.bytes(); }
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }

  // A range of the block, and where its copy goes.
  struct Copy {
    std::size_t offset;
    void* target;
    std::size_t bytes;
  };

  // On the JavaScript thread. Ranges lie inside the block (the caller has checked them).
  bool busy() const { return busy_; }
  void Write(std::size_t offset, const void* source, std::size_t bytes);
  // Makes all copies under one lock; the version that they are of.
  std::uint64_t Read(const std::vector<Copy>& copies);
  // A synchronous run changed the block.
  void Changed();
  // A runner for this state is made, or gone: the last one takes the snapshots with it.
  void AddRunner() { runners_++; }
  void DropRunner();
  // A block of runs begins: Publish comes next. Throws std::bad_alloc, having changed nothing.
  void Begin();
  // The block of runs has ended: reads see the block again.
  void End();

  // On the training thread.
  // Makes the block the snapshot, if it is finite. Where there was never a finite one, it is taken as it is, for
  // reading only.
  bool Publish();
  // Whether the block may be left as it is; what Publish would say, without the copy.
  bool Finite() const;
  // Goes back to the last snapshot that was finite; without one the block stays.
  void Restore();

 private:
  Memory block_;
  std::vector<FloatRange> floats_;
  Memory front_;  // what readers see; the training thread only exchanges it
  Memory back_;   // the training thread's
  std::mutex exchange_;
  std::atomic<std::uint64_t> version_{0};
  bool busy_ = false;
  int runners_ = 0;
  bool good_ = false;  // the front snapshot is finite
  bool shown_ = false;  // there is a front snapshot of this block of runs
};

}  // namespace wengert
