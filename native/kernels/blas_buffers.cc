// The buffers that OpenBLAS packs into: see blas.h. OpenBLAS keeps what it once had, in a list of its own; a new one is
// had by taking all that are there, and one more, for a moment.
#include <algorithm>
#include <cstddef>
#include <mutex>
#include <new>
#include <vector>

#if defined(_WIN32)
#include <windows.h>
#else
#include <sys/mman.h>
#endif

#include "blas.h"

#if defined(__GNUC__) || defined(__clang__)
// Weak: a shared OpenBLAS may hide them, and then looks after itself.
extern "C" __attribute__((weak)) void* blas_memory_alloc(int);
extern "C" __attribute__((weak)) void blas_memory_free(void*);
#define WENGERT_BLAS_BUFFERS (blas_memory_alloc != nullptr && blas_memory_free != nullptr)
#else
static void* blas_memory_alloc(int) { return nullptr; }
static void blas_memory_free(void*) {}
#define WENGERT_BLAS_BUFFERS false
#endif

namespace wengert {

namespace {

// More than a buffer takes on any processor (128 MB at most). Addresses alone: memory is taken as it is written to.
constexpr std::size_t kRoom = static_cast<std::size_t>(160) << 20;

struct Buffers {
  std::mutex mutex;
  std::size_t threads = 0;
  bool used = false;
  std::vector<void*> had;
};

// Never destroyed: threads end while the process exits.
Buffers& TheBuffers() {
  static Buffers* const buffers = new Buffers();
  return *buffers;
}

// Whether the system has so many more addresses.
bool Room(std::size_t bytes) {
#if defined(_WIN32)
  void* const room = VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if (room == nullptr) return false;
  VirtualFree(room, 0, MEM_RELEASE);
#else
  void* const room = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) return false;
  munmap(room, bytes);
#endif
  return true;
}

// As many buffers as threads. For whoever holds the mutex. A thread that multiplies just while all buffers are taken here
// gets one more by itself: hence room for two.
void Grow(Buffers& buffers) {
  while (buffers.had.size() < buffers.threads) {
    if (!Room(buffers.threads > 1 ? 2 * kRoom : kRoom)) throw std::bad_alloc();
    std::vector<void*> taken;
    taken.reserve(buffers.had.size() + 1);
    buffers.had.reserve(buffers.had.size() + 1);
    bool fresh = false;
    while (!fresh) {
      void* const buffer = blas_memory_alloc(0);
      if (buffer == nullptr) break;
      taken.push_back(buffer);
      fresh = std::find(buffers.had.begin(), buffers.had.end(), buffer) == buffers.had.end();
    }
    if (fresh) buffers.had.push_back(taken.back());
    for (void* const buffer : taken) blas_memory_free(buffer);
    if (!fresh) throw std::bad_alloc();
  }
}

}  // namespace

BlasThread::BlasThread() {
  Buffers& buffers = TheBuffers();
  const std::lock_guard<std::mutex> lock(buffers.mutex);
  buffers.threads++;
  if (!buffers.used) return;
  try {
    Grow(buffers);
  } catch (...) {
    buffers.threads--;
    throw;
  }
}

BlasThread::~BlasThread() {
  Buffers& buffers = TheBuffers();
  const std::lock_guard<std::mutex> lock(buffers.mutex);
  buffers.threads--;
}

void PrepareBlas() {
  static thread_local bool ready = false;
  if (ready || !WENGERT_BLAS_BUFFERS) return;
  // Counts until the thread ends.
  static thread_local const BlasThread self;
  Buffers& buffers = TheBuffers();
  const std::lock_guard<std::mutex> lock(buffers.mutex);
  buffers.used = true;
  Grow(buffers);
  ready = true;
}

}  // namespace wengert
