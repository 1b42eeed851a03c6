// A small pool of worker threads for splitting one kernel's work; shared by all trainings of the process.
#pragma once

#include <cstddef>

namespace wengert {

class Pool {
 public:
  // The threads that a call may use, the caller included (>= 1). Never more than the process's processors or cgroup
  // quota.
  static int threads();
  static void set_threads(int threads);

  // The pool of the process; workers start when first used and sleep when idle.
  static Pool& instance();

  // Runs task(argument, part) for part = 0 … parts − 1, some of them on workers, and returns when all are done. Where
  // the workers are taken by another training, the caller runs every part itself: the result never depends on it.
  void Run(int parts, void (*task)(void* argument, int part), void* argument);

  // Stops and joins the workers (process exit, environment cleanup of the last user).
  void Stop();
};

}  // namespace wengert
