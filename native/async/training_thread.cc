#include "training_thread.h"

#include <cstdlib>
#include <unordered_set>

#include "../program/pool.h"

namespace wengert {

namespace {

// All training threads of the process. process.exit() runs no hook of an environment, but static destructors
// (OpenBLAS's among them) under the feet of running threads: so they are stopped before. Not on Windows, which ends all
// other threads before it runs a library's destructors, wherever they are: a lock that one held is then held for ever.
struct Registry {
  std::mutex mutex;
  std::unordered_set<TrainingThread*> threads;
};

// Never destroyed: it is used while the process exits.
Registry& TheRegistry() {
  static Registry* const registry = [] {
#if !defined(_WIN32)
    std::atexit([] {
      Registry& all = TheRegistry();
      std::lock_guard<std::mutex> lock(all.mutex);
      for (TrainingThread* thread : all.threads) thread->Stop();
      Pool::instance().Stop();
    });
#endif
    return new Registry();
  }();
  return *registry;
}

}  // namespace

TrainingThread::TrainingThread(Runner& runner, void (*finished)(void*), void* argument)
    : runner_(runner), finished_(finished), argument_(argument) {
  Registry& all = TheRegistry();
  std::lock_guard<std::mutex> lock(all.mutex);
  const auto entry = all.threads.insert(this).first;
  try {
    thread_ = Thread("wengert-train", [this] { Live(); });
  } catch (...) {
    all.threads.erase(entry);
    throw;
  }
}

TrainingThread::~TrainingThread() {
  {
    Registry& all = TheRegistry();
    std::lock_guard<std::mutex> lock(all.mutex);
    all.threads.erase(this);
  }
  Stop();
}

void TrainingThread::Start() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    begun_ = true;
  }
  wake_.notify_one();
}

void TrainingThread::Stop() {
  runner_.Abandon();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  std::lock_guard<std::mutex> lock(joining_);
  if (thread_.joinable()) thread_.join();
}

void TrainingThread::AbandonAll() {
  Registry& all = TheRegistry();
  std::lock_guard<std::mutex> lock(all.mutex);
  for (TrainingThread* thread : all.threads) thread->runner_.Abandon();
}

// On the training thread.
void TrainingThread::Live() {
  for (;;) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return begun_ || stop_; });
      if (stop_) return;
      begun_ = false;
    }
    runner_.Work();
    if (runner_.result().status == BlockStatus::kAbandoned) return;
    finished_(argument_);
  }
}

}  // namespace wengert
