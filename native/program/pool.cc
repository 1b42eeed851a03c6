#include "pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "../kernels/blas.h"
#include "../kernels/environment.h"
#include "processors.h"
#include "thread.h"
#include "../kernels/thresholds.h"

namespace wengert {

namespace {

constexpr int kMostParts = 0xffff;

inline void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int Start() {
  const int threads = std::atoi(Environment("WENGERT_THREADS").c_str());
  return threads > 0 ? std::min(threads, Processors()) : Processors();
}

std::atomic<int>& Threads() {
  static std::atomic<int> threads{Start()};
  return threads;
}

struct Worker {
  const BlasThread multiplies;
  std::atomic<bool> asleep{false};
  std::condition_variable wake;
  Thread thread;
};

// One job at a time. A ticket holds the job's number, its parts and the next of them; a part belongs to whoever moves
// the ticket on. While parts are left to take, the job's caller waits, so what a taker then reads is that job's.
struct Crew {
  std::atomic<std::uint64_t> ticket{0};  // job << 32 | parts << 16 | next part
  std::atomic<void (*)(void*, int)> task{nullptr};
  std::atomic<void*> argument{nullptr};
  std::atomic<const std::atomic<bool>*> leave{nullptr};  // the caller's
  std::atomic<int> unfinished{0};
  std::atomic<int> helpers{0};     // workers below this number take part in the job
  std::atomic<bool> busy{false};   // a job is under way
  std::atomic<int> computing{0};   // threads with a place
  std::atomic<int> keep{INT_MAX};  // workers from this number on end
  std::mutex mutex;                // sleeping and waking
  std::vector<std::unique_ptr<Worker>> workers;  // changed only by whoever holds `busy`
};

// Never destroyed: workers may sleep in it while the process exits.
Crew& TheCrew() {
  static Crew* const crew = new Crew();
  return *crew;
}

thread_local bool placed = false;
thread_local const std::atomic<bool>* leaving = nullptr;

std::uint32_t JobOf(std::uint64_t ticket) { return static_cast<std::uint32_t>(ticket >> 32); }

// Takes parts of the current job until none is left.
void Work(Crew& crew) {
  std::uint64_t ticket = crew.ticket.load(std::memory_order_acquire);
  for (;;) {
    const int part = static_cast<int>(ticket & kMostParts);
    if (part >= static_cast<int>(ticket >> 16 & kMostParts)) return;
    void (*const task)(void*, int) = crew.task.load(std::memory_order_relaxed);
    void* const argument = crew.argument.load(std::memory_order_relaxed);
    const std::atomic<bool>* const leave = crew.leave.load(std::memory_order_relaxed);
    if (!crew.ticket.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel, std::memory_order_acquire))
      continue;
    leaving = leave;
    task(argument, part);
    crew.unfinished.fetch_sub(1, std::memory_order_release);
    ticket = crew.ticket.load(std::memory_order_acquire);
  }
}

// A worker's life. Runs on a thread of the pool. Jobs that want fewer workers than stand before it leave it asleep.
void Live(Worker& self, int number) {
  Crew& crew = TheCrew();
  std::uint32_t seen = 0;
  bool wanted = true;
  for (;;) {
    const auto until = std::chrono::steady_clock::now() + thresholds::kSpin;
    for (int spins = 1; wanted && JobOf(crew.ticket.load(std::memory_order_acquire)) == seen; spins++) {
      Pause();
      if (spins % 64 == 0 && std::chrono::steady_clock::now() >= until) wanted = false;
    }
    if (!wanted) {
      std::unique_lock<std::mutex> lock(crew.mutex);
      self.asleep.store(true);
      self.wake.wait(lock, [&] {
        return (JobOf(crew.ticket.load()) != seen && number < crew.helpers.load()) || number >= crew.keep.load();
      });
      self.asleep.store(false);
    }
    if (number >= crew.keep.load(std::memory_order_relaxed)) return;
    seen = JobOf(crew.ticket.load(std::memory_order_acquire));
    wanted = number < crew.helpers.load(std::memory_order_acquire);
    if (wanted) Work(crew);
  }
}

void Wake(Crew& crew, Worker& worker) {
  if (!worker.asleep.load()) return;
  {
    std::lock_guard<std::mutex> lock(crew.mutex);
  }
  worker.wake.notify_one();
}

void Take(Crew& crew) {
  while (crew.busy.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
}

void Leave(Crew& crew) { crew.busy.store(false, std::memory_order_release); }

// Ends the workers beyond the first so many. For whoever holds `busy`.
void Trim(Crew& crew, std::size_t most) {
  if (crew.workers.size() <= most) return;
  {
    std::lock_guard<std::mutex> lock(crew.mutex);
    crew.keep.store(static_cast<int>(most));
  }
  for (std::size_t i = most; i < crew.workers.size(); i++) crew.workers[i]->wake.notify_one();
  for (std::size_t i = most; i < crew.workers.size(); i++) crew.workers[i]->thread.join();
  crew.workers.resize(most);
  crew.keep.store(INT_MAX);
}

}  // namespace

int Pool::threads() { return Threads().load(std::memory_order_relaxed); }

void Pool::set_threads(int threads) {
  const int now = std::clamp(threads, 1, Processors());
  Threads().store(now);
  Crew& crew = TheCrew();
  Take(crew);
  Trim(crew, static_cast<std::size_t>(now) - 1);
  Leave(crew);
}

Pool& Pool::instance() {
  static Pool pool;
  return pool;
}

Pool::Place::Place(const std::atomic<bool>* leave) : taken_(!placed) {
  if (!taken_) return;
  placed = true;
  leaving = leave;
  TheCrew().computing.fetch_add(1);
}

Pool::Place::~Place() {
  if (!taken_) return;
  placed = false;
  leaving = nullptr;
  TheCrew().computing.fetch_sub(1);
}

bool Pool::Leaving() { return leaving != nullptr && leaving->load(std::memory_order_relaxed); }

void Pool::Run(int parts, void (*task)(void* argument, int part), void* argument) {
  Crew& crew = TheCrew();
  const Place place;
  const int others = crew.computing.load(std::memory_order_relaxed) - 1;
  const int most = std::min(parts, std::min(threads(), Processors() - others));
  if (most <= 1 || parts > kMostParts || crew.busy.exchange(true, std::memory_order_acquire)) {
    for (int part = 0; part < parts; part++) task(argument, part);
    return;
  }
  const std::size_t wanted = static_cast<std::size_t>(most) - 1;
  try {
    while (crew.workers.size() < wanted) {
      auto worker = std::make_unique<Worker>();
      Worker& self = *worker;
      crew.workers.push_back(std::move(worker));
      try {
        const int index = static_cast<int>(crew.workers.size()) - 1;
        self.thread = Thread("wengert-pool", [&self, index] { Live(self, index); });
      } catch (...) {
        crew.workers.pop_back();
        throw;
      }
    }
  } catch (const std::exception&) {
    // No more threads to be had: those that are there, or the caller alone, do all parts.
  }
  const std::size_t helpers = std::min(wanted, crew.workers.size());
  crew.task.store(task, std::memory_order_relaxed);
  crew.argument.store(argument, std::memory_order_relaxed);
  crew.leave.store(leaving, std::memory_order_relaxed);
  crew.unfinished.store(parts, std::memory_order_relaxed);
  const std::uint32_t job = JobOf(crew.ticket.load(std::memory_order_relaxed)) + 1;
  // Sequentially consistent, like a sleeper's mark: either it sees this job, or is seen asleep.
  crew.helpers.store(static_cast<int>(helpers));
  crew.ticket.store(static_cast<std::uint64_t>(job) << 32 | static_cast<std::uint64_t>(parts) << 16);
  for (std::size_t i = 0; i < helpers; i++) Wake(crew, *crew.workers[i]);
  Work(crew);
  for (int spins = 0; crew.unfinished.load(std::memory_order_acquire) > 0; spins++) {
    Pause();
    if (spins > 2000) std::this_thread::yield();  // a worker lost its processor
  }
  Leave(crew);
}

void Pool::Stop() {
  Crew& crew = TheCrew();
  Take(crew);
  Trim(crew, 0);
  Leave(crew);
}

}  // namespace wengert
