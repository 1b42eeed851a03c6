// A thread of the library: with a name for tools that list threads, and a stack of a size of its own.
#pragma once

#include <functional>

#if defined(_WIN32)
#include <thread>
#else
#include <pthread.h>
#endif

namespace wengert {

class Thread {
 public:
  Thread() = default;
  // Runs `life` on a new thread. The name has 15 characters at most. Throws std::system_error where no thread is to be had.
  Thread(const char* name, std::function<void()> life);
  Thread(Thread&& other) noexcept { *this = static_cast<Thread&&>(other); }
  Thread& operator=(Thread&& other) noexcept;

  bool joinable() const;
  void join();

 private:
#if defined(_WIN32)
  std::thread thread_;
#else
  pthread_t thread_{};
  bool joinable_ = false;
#endif
};

}  // namespace wengert
