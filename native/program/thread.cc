#include "thread.h"

#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <system_error>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#endif

namespace wengert {

#if defined(_WIN32)

Thread::Thread(const char* name, std::function<void()> life) {
  thread_ = std::thread([name, life = std::move(life)] {
    using Describe = HRESULT(WINAPI*)(HANDLE, PCWSTR);  // from Windows 10 on
    void* const describe =
        reinterpret_cast<void*>(GetProcAddress(GetModuleHandleA("kernel32.dll"), "SetThreadDescription"));
    if (describe != nullptr) {
      reinterpret_cast<Describe>(describe)(GetCurrentThread(), std::wstring(name, name + std::strlen(name)).c_str());
    }
    life();
  });
}

Thread& Thread::operator=(Thread&& other) noexcept {
  thread_ = static_cast<std::thread&&>(other.thread_);
  return *this;
}

bool Thread::joinable() const { return thread_.joinable(); }
void Thread::join() { thread_.join(); }

#else

namespace {

struct Life {
  const char* name;
  std::function<void()> live;
};

// OpenBLAS's kernels keep panels on the stack, of which musl gives a thread 128 kB and macOS 512 kB.
constexpr std::size_t kStack = std::size_t{2} << 20;

void* Live(void* argument) {
  const std::unique_ptr<Life> life(static_cast<Life*>(argument));
#if defined(__linux__)
  pthread_setname_np(pthread_self(), life->name);
#elif defined(__APPLE__)
  pthread_setname_np(life->name);
#endif
  life->live();
  return nullptr;
}

}  // namespace

Thread::Thread(const char* name, std::function<void()> life) {
  auto argument = std::make_unique<Life>(Life{name, std::move(life)});
  pthread_attr_t attributes;
  int failed = pthread_attr_init(&attributes);
  if (failed == 0) {
    pthread_attr_setstacksize(&attributes, kStack);
    failed = pthread_create(&thread_, &attributes, Live, argument.get());
    pthread_attr_destroy(&attributes);
  }
  if (failed != 0) throw std::system_error(failed, std::generic_category());
  static_cast<void>(argument.release());
  joinable_ = true;
}

Thread& Thread::operator=(Thread&& other) noexcept {
  if (joinable_) std::terminate();
  thread_ = other.thread_;
  joinable_ = other.joinable_;
  other.joinable_ = false;
  return *this;
}

bool Thread::joinable() const { return joinable_; }

void Thread::join() {
  pthread_join(thread_, nullptr);
  joinable_ = false;
}

#endif

}  // namespace wengert
