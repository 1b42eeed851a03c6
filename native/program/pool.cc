#include "pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace wengert {

namespace {

// How long an idle worker looks for the next job before it sleeps: about the pause between two products of a step.
constexpr std::chrono::microseconds kSpin(40);
constexpr int kMostParts = 0xffff;

inline void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

#if defined(__linux__)
// The least processor quota of a control group and its parents, as a number of processors; 0 where there is none.
double QuotaV2(std::string path) {
  double least = 0;
  for (;;) {
    std::ifstream file("/sys/fs/cgroup" + path + "/cpu.max");
    double quota = 0;
    double period = 0;
    if (file >> quota >> period && quota > 0 && period > 0)
      least = least > 0 ? std::min(least, quota / period) : quota / period;
    if (path.empty()) return least;
    path.erase(path.find_last_of('/'));
  }
}

double QuotaV1(const std::string& path) {
  for (const std::string& folder : {"/sys/fs/cgroup/cpu" + path, std::string("/sys/fs/cgroup/cpu")}) {
    std::ifstream quota_file(folder + "/cpu.cfs_quota_us");
    std::ifstream period_file(folder + "/cpu.cfs_period_us");
    double quota = 0;
    double period = 0;
    if (quota_file >> quota && period_file >> period) return quota > 0 && period > 0 ? quota / period : 0;
  }
  return 0;
}

double Quota() {
  std::ifstream file("/proc/self/cgroup");
  double quota = 0;
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    if (controllers == ",,") {
      quota = QuotaV2(path);
    } else if (controllers.find(",cpu,") != std::string::npos) {
      quota = QuotaV1(path);
    }
    if (quota > 0) return quota;
  }
  return quota;
}
#endif

int Processors() {
  static const int processors = [] {
    int count = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) count = std::min(count, CPU_COUNT(&set));
    const double quota = Quota();
    if (quota > 0) count = std::min(count, static_cast<int>(quota));
#endif
    return std::max(1, count);
  }();
  return processors;
}

int Start() {
  const char* wanted = std::getenv("WENGERT_THREADS");
  const int threads = wanted != nullptr ? std::atoi(wanted) : 0;
  return threads > 0 ? std::min(threads, Processors()) : Processors();
}

std::atomic<int>& Threads() {
  static std::atomic<int> threads{Start()};
  return threads;
}

// One job at a time. A ticket holds the job's number, its parts and the next of them; a part belongs to whoever moves
// the ticket on. While parts are left to take, the job's caller waits, so what a taker then reads is that job's.
struct Crew {
  std::atomic<std::uint64_t> ticket{0};  // job << 32 | parts << 16 | next part
  std::atomic<void (*)(void*, int)> task{nullptr};
  std::atomic<void*> argument{nullptr};
  std::atomic<int> unfinished{0};
  std::atomic<bool> busy{false};  // a job is under way
  std::atomic<int> sleepers{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;  // sleeping and waking
  std::condition_variable wake;
  std::vector<std::thread> workers;  // changed only by whoever holds `busy`
};

// Never destroyed: workers may sleep in it while the process exits.
Crew& TheCrew() {
  static Crew* const crew = new Crew();
  return *crew;
}

std::uint32_t JobOf(std::uint64_t ticket) { return static_cast<std::uint32_t>(ticket >> 32); }

// Takes parts of the current job until none is left.
void Work(Crew& crew) {
  std::uint64_t ticket = crew.ticket.load(std::memory_order_acquire);
  for (;;) {
    const int part = static_cast<int>(ticket & kMostParts);
    if (part >= static_cast<int>(ticket >> 16 & kMostParts)) return;
    void (*const task)(void*, int) = crew.task.load(std::memory_order_relaxed);
    void* const argument = crew.argument.load(std::memory_order_relaxed);
    if (!crew.ticket.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel, std::memory_order_acquire))
      continue;
    task(argument, part);
    crew.unfinished.fetch_sub(1, std::memory_order_release);
    ticket = crew.ticket.load(std::memory_order_acquire);
  }
}

// A worker's life. Runs on a thread of the pool.
void Live() {
  Crew& crew = TheCrew();
  std::uint32_t seen = 0;
  while (!crew.stop.load(std::memory_order_acquire)) {
    const auto until = std::chrono::steady_clock::now() + kSpin;
    int spins = 0;
    while (JobOf(crew.ticket.load(std::memory_order_acquire)) == seen && !crew.stop.load(std::memory_order_relaxed)) {
      Pause();
      if (++spins % 64 != 0 || std::chrono::steady_clock::now() < until) continue;
      std::unique_lock<std::mutex> lock(crew.mutex);
      crew.sleepers.fetch_add(1);
      crew.wake.wait(lock, [&] { return JobOf(crew.ticket.load()) != seen || crew.stop.load(); });
      crew.sleepers.fetch_sub(1);
    }
    seen = JobOf(crew.ticket.load(std::memory_order_acquire));
    Work(crew);
  }
}

}  // namespace

int Pool::threads() { return Threads().load(std::memory_order_relaxed); }

void Pool::set_threads(int threads) { Threads().store(std::clamp(threads, 1, Processors())); }

Pool& Pool::instance() {
  static Pool pool;
  return pool;
}

void Pool::Run(int parts, void (*task)(void* argument, int part), void* argument) {
  Crew& crew = TheCrew();
  if (parts <= 1 || parts > kMostParts || threads() <= 1 || crew.busy.exchange(true, std::memory_order_acquire)) {
    for (int part = 0; part < parts; part++) task(argument, part);
    return;
  }
  const std::size_t wanted = static_cast<std::size_t>(std::min(parts, threads())) - 1;
  try {
    while (crew.workers.size() < wanted) crew.workers.emplace_back(Live);
  } catch (const std::exception&) {
    // No more threads to be had: those that are there, or the caller alone, do all parts.
  }
  crew.task.store(task, std::memory_order_relaxed);
  crew.argument.store(argument, std::memory_order_relaxed);
  crew.unfinished.store(parts, std::memory_order_relaxed);
  const std::uint32_t job = JobOf(crew.ticket.load(std::memory_order_relaxed)) + 1;
  // Sequentially consistent, like the sleepers' count: either is this job seen or the sleeper.
  crew.ticket.store(static_cast<std::uint64_t>(job) << 32 | static_cast<std::uint64_t>(parts) << 16);
  if (crew.sleepers.load() > 0) {
    {
      std::lock_guard<std::mutex> lock(crew.mutex);
    }
    crew.wake.notify_all();
  }
  Work(crew);
  for (int spins = 0; crew.unfinished.load(std::memory_order_acquire) > 0; spins++) {
    Pause();
    if (spins > 2000) std::this_thread::yield();  // a worker lost its processor
  }
  crew.busy.store(false, std::memory_order_release);
}

void Pool::Stop() {
  Crew& crew = TheCrew();
  while (crew.busy.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
  {
    std::lock_guard<std::mutex> lock(crew.mutex);
    crew.stop.store(true);
  }
  crew.wake.notify_all();
  for (std::thread& worker : crew.workers) worker.join();
  crew.workers.clear();
  crew.stop.store(false);
  crew.busy.store(false, std::memory_order_release);
}

}  // namespace wengert
