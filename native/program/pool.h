// A small pool of worker threads for splitting one kernel's work; shared by all trainings of the process.
#pragma once

#include <atomic>
#include <cstddef>

namespace wengert {

class Pool {
 public:
  // The threads that a call may use, the caller included (>= 1). Never more than Processors() of processors.h.
  static int threads();
  // Workers beyond the number end before this returns.
  static void set_threads(int threads);

  // The pool of the process; workers start when first used and sleep when idle.
  static Pool& instance();

  // While it lives, the thread that made it counts as one that computes: a training's. Workers help only as far as all
  // that compute leave processors free, so that trainings at once share them.
  class Place {
   public:
    // `leave`: raised when the thread shall come to its end, whatever becomes of what it computes; see Leaving.
    explicit Place(const std::atomic<bool>* leave = nullptr);
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    const bool taken_;  // false inside of another of the same thread
  };

  // Whether what the running thread computes, for itself or as a worker, is wanted no more. Kernels that may take long
  // ask now and then and return at once, leaving their output half made: whoever called them has to look again.
  static bool Leaving();

  // Runs task(argument, part) for part = 0 … parts − 1, some of them on workers, and returns when all are done. Where
  // the workers are taken by another training, the caller runs every part itself: the result never depends on it.
  void Run(int parts, void (*task)(void* argument, int part), void* argument);

  // Ends and joins the workers (process exit, environment cleanup of the last user).
  void Stop();
};

}  // namespace wengert
