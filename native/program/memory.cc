#include "memory.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace wengert {

std::size_t MemoryLimit() {
#if defined(_WIN32)
  static const std::size_t limit = [] {
    MEMORYSTATUSEX status;
    status.dwLength = sizeof(status);
    return GlobalMemoryStatusEx(&status) ? static_cast<std::size_t>(status.ullTotalPhys) : static_cast<std::size_t>(1) << 40;
  }();
  return limit;
#elif defined(_SC_PHYS_PAGES) && defined(_SC_PAGESIZE)
  static const std::size_t limit = [] {
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long size = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || size <= 0) return static_cast<std::size_t>(1) << 40;
    return static_cast<std::size_t>(pages) * static_cast<std::size_t>(size);
  }();
  return limit;
#else
  return static_cast<std::size_t>(1) << 40;
#endif
}

void AskForHugePages([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(MADV_HUGEPAGE)
  const std::uintptr_t from = (reinterpret_cast<std::uintptr_t>(begin) + kHugePage - 1) / kHugePage * kHugePage;
  const std::uintptr_t to = (reinterpret_cast<std::uintptr_t>(begin) + bytes) / kHugePage * kHugePage;
  if (from < to) madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
#endif
}

}  // namespace wengert
