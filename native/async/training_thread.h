// A thread that works off one runner's blocks, one at a time. It touches no JavaScript: what it has finished it hands
// to a function that wakes the JavaScript thread.
#pragma once

#include <condition_variable>
#include <mutex>

#include "../kernels/blas.h"
#include "../program/runner.h"
#include "../program/thread.h"

namespace wengert {

class TrainingThread {
 public:
  // `finished(argument)` is called on the training thread after each block, unless the runner was abandoned. Throws
  // std::system_error where no thread is to be had, std::bad_alloc where no memory is.
  TrainingThread(Runner& runner, void (*finished)(void* argument), void* argument);
  // Joins, abandoning a block that runs.
  ~TrainingThread();

  // Begins a block that the runner was given (Runner::Begin). From any thread but its own.
  void Start();
  // Lets all training threads of the process come to their end, in the middle of a run, without waiting for them.
  static void AbandonAll();
  // Stops as fast as the running instruction allows, and joins. May be called again, and while the process exits.
  void Stop();

 private:
  void Live();

  const BlasThread multiplies_;
  Runner& runner_;
  void (*const finished_)(void*);
  void* const argument_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool begun_ = false;
  bool stop_ = false;
  std::mutex joining_;
  Thread thread_;
};

}  // namespace wengert
