// Program, state, pool, runner and training thread without Node, for the thread sanitizer: scripts/test-threads.mjs builds and
// runs it. Several "JavaScript" threads (as the main thread and workers are) train at once, read snapshots and the progress
// while their blocks run, change the number of threads, cancel, and leave in the middle. Then, since trainings at once leave
// the pool's workers asleep: one training alone, and jobs of many small parts, while the number of threads changes.
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../async/training_thread.h"
#include "../kernels/kernel.h"
#include "../program/pool.h"
#include "../program/program.h"
#include "../program/runner.h"
#include "../program/state.h"

namespace wengert {
namespace {

constexpr int kSize = 192;  // of the square matrices: large enough for the pool

double KernelNumber(const char* name) {
  for (std::size_t i = 0; i < kKernelCount; i++) {
    if (std::strcmp(kKernels[i].name, name) == 0) return static_cast<double>(i);
  }
  std::fprintf(stderr, "no kernel %s\n", name);
  std::abort();
}

// C ← C + s·A·B with A from an input and B and C in the state (B, then C); the report counts B's first column.
std::shared_ptr<const Program> Training(double scale) {
  const double n = kSize;
  const double square = n * n;
  const double bytes = square * 8;
  const std::vector<double> words = {
      1, 64, 2 * bytes, 2, 1, 1, 4, 2,  // float64, arena, state, report entries, atomic runs; inputs, slots, steps
      1, square, 0, 0,                                             // input: A
      3, 0, square, 1,                                             // slot 0: A
      1, 0, square, 1,                                             // slot 1: B
      1, bytes, square, 1,                                         // slot 2: C
      2, 8, 1, 1,                                                  // slot 3: the report's entry 1
      KernelNumber("matmul"), 1, 2, 8, 2, 2, 0, 1, 1, n, n, n, 0, 0, 0, 0, scale, 1,
      KernelNumber("accumulate"), 1, 1, 1, 0, 3, 1, square,
  };
  return Program::Parse(words.data(), words.size());
}

// Wakes the thread that waits for a block.
struct Bell {
  std::mutex mutex;
  std::condition_variable changed;
  int rung = 0;

  static void Ring(void* bell) {
    Bell* const self = static_cast<Bell*>(bell);
    std::lock_guard<std::mutex> lock(self->mutex);
    self->rung++;
    self->changed.notify_all();
  }
  bool Wait(int times, std::chrono::milliseconds most) {
    std::unique_lock<std::mutex> lock(mutex);
    return changed.wait_for(lock, most, [&] { return rung >= times; });
  }
};

std::atomic<long> failures{0};
void Expect(bool good, const char* what) {
  if (good) return;
  failures++;
  std::fprintf(stderr, "failed: %s\n", what);
}

struct Trainee {
  explicit Trainee(const std::vector<double>& a)
      : state(std::make_shared<State>(2 * kSize * kSize * 8, Floats().data(), Floats().size())),
        runner(state, {Training(1e-6)}, Arrays(a)),
        thread(runner, Bell::Ring, &bell) {
    std::vector<double> ones(kSize * kSize, 1);
    state->Write(0, ones.data(), ones.size() * 8);
  }
  static std::vector<double> Floats() { return {0, 2 * kSize * kSize, 1}; }
  static std::vector<RunnerArray> Arrays(const std::vector<double>& a) {
    std::vector<RunnerArray> arrays;
    arrays.push_back(RunnerArray::Copied(Dtype::kFloat64, static_cast<std::int64_t>(a.size()), a.data()));
    return arrays;
  }
  // Four epochs of so many runs.
  void Begin(double runs) {
    const std::vector<double> words = {4, 0, 0, runs};
    Block block = Block::Parse(words.data(), words.size());
    block.windows.resize(1);
    runner.Begin(std::move(block));
    thread.Start();
  }

  Bell bell;
  std::shared_ptr<State> state;
  Runner runner;
  TrainingThread thread;
};

constexpr std::size_t kHalf = static_cast<std::size_t>(kSize) * kSize * 8;  // bytes

// One "JavaScript" thread with two trainings of its own.
void Environment(int which, int rounds, const std::vector<double>& a) {
  std::vector<double> seen(2 * kSize * kSize);
  for (int round = 0; round < rounds; round++) {
    Trainee one(a);
    Trainee two(a);
    for (int block = 1; block <= 3; block++) {
      const bool endless = (round + block) % 3 == 0;
      one.Begin(endless ? 1e12 : 3);
      two.Begin(3);
      for (int i = 0; i < 5; i++) {
        // Two ranges under one lock.
        one.state->Read({{0, seen.data(), kHalf}, {kHalf, seen.data() + kSize * kSize, kHalf}});
        Expect(std::isfinite(seen.back()) && seen[0] == 1, "a snapshot is whole");
        two.state->Read({{0, seen.data(), 8}});
        Expect(one.runner.progress().runs >= 0, "progress");
        if (i == 2) Pool::set_threads(1 + (which + block + round) % 4);
        std::this_thread::yield();
      }
      if (endless) one.runner.Cancel();
      Expect(one.bell.Wait(block, std::chrono::seconds(120)), "a block ends");
      Expect(two.bell.Wait(block, std::chrono::seconds(120)), "a block ends");
      one.runner.End();
      two.runner.End();
      Expect(one.runner.result().status == (endless ? BlockStatus::kCancelled : BlockStatus::kDone), "the status of a block");
      Expect(two.runner.result().runs == 12, "the runs of a block");
    }
    two.state->Read({{kHalf, seen.data(), 8}});
    // 36 runs that each add 1e-6 · (a row of ones · a column of ones)
    Expect(std::fabs(seen[0] - 36e-6 * kSize) < 1e-12, "what was computed");
    if (round % 2 == 0) one.Begin(1e12);  // left in the middle: the thread's end abandons it
  }
}

struct Parts {
  static constexpr int kMost = 64;
  std::vector<int> done = std::vector<int>(kMost);
  static void Do(void* argument, int part) { static_cast<Parts*>(argument)->done[static_cast<std::size_t>(part)]++; }
};

// The pool with its workers at work.
void Alone(int rounds, const std::vector<double>& a) {
  std::atomic<bool> over{false};
  std::thread changes([&] {
    for (int i = 0; !over; i++) {
      Pool::set_threads(1 + i % 3);
      std::this_thread::sleep_for(std::chrono::microseconds(i % 200));
    }
  });
  for (int round = 0; round < rounds; round++) {
    Trainee one(a);
    one.Begin(25);
    Expect(one.bell.Wait(1, std::chrono::seconds(120)), "a block ends");
    one.runner.End();
    Expect(one.runner.result().runs == 100, "the runs of a block");
    Parts parts;
    const int times = 2000;
    for (int i = 0; i < times; i++) Pool::instance().Run(1 + i % Parts::kMost, Parts::Do, &parts);
    int sum = 0;
    int expected = 0;
    for (const int done : parts.done) sum += done;
    for (int i = 0; i < times; i++) expected += 1 + i % Parts::kMost;
    Expect(sum == expected, "each part is done once");
  }
  over = true;
  changes.join();
}

}  // namespace
}  // namespace wengert

int main(int count, char** arguments) {
  const int environments = 4;
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 5;
  const std::vector<double> a(wengert::kSize * wengert::kSize, 1);
  std::vector<std::thread> threads;
  for (int i = 0; i < environments; i++) threads.emplace_back(wengert::Environment, i, rounds, std::cref(a));
  for (std::thread& thread : threads) thread.join();
  wengert::Alone(rounds, a);
  wengert::Pool::instance().Stop();
  std::printf("%d environments, %d trainings, %ld failures\n", environments, environments * rounds * 2, wengert::failures.load());
  return wengert::failures == 0 ? 0 : 1;
}
