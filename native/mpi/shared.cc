#include "shared.h"

#include <map>
#include <mutex>
#include <random>
#include <string>

#if defined(__linux__)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace wengert {

namespace {

struct Block {
  std::uint64_t number;
  int file;
  std::size_t bytes;
};

std::mutex mutex;

// By address. Never destroyed: threads may use it while the process exits.
std::map<std::uintptr_t, Block>& Blocks() {
  static auto* const blocks = new std::map<std::uintptr_t, Block>();
  return *blocks;
}

}  // namespace

#if defined(__linux__)

namespace {

std::string NameOf(std::uint64_t number) { return "wengert-" + std::to_string(number); }

std::uint64_t DrawNumber() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32 | device()) | 1;
}

}  // namespace

void* ShareMemory(std::size_t bytes) {
  const std::uint64_t number = DrawNumber();
  // Asked of the kernel: glibc has the function since 2.27 only.
  const int file = static_cast<int>(syscall(SYS_memfd_create, NameOf(number).c_str(), MFD_CLOEXEC));
  if (file < 0) return nullptr;
  void* const data =
      ftruncate(file, static_cast<off_t>(bytes)) == 0 ? mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
  if (data == MAP_FAILED) {
    close(file);
    return nullptr;
  }
  std::lock_guard<std::mutex> lock(mutex);
  Blocks()[reinterpret_cast<std::uintptr_t>(data)] = {number, file, bytes};
  return data;
}

void UnshareMemory(void* data, std::size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex);
  const auto found = Blocks().find(reinterpret_cast<std::uintptr_t>(data));
  if (found == Blocks().end()) return;
  munmap(data, bytes);
  static_cast<void>(ftruncate(found->second.file, 0) == 0);
  close(found->second.file);
  Blocks().erase(found);
}

SharedPlace PlaceOf(const void* data, std::size_t bytes) {
  const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(data);
  std::lock_guard<std::mutex> lock(mutex);
  auto found = Blocks().upper_bound(at);
  if (found == Blocks().begin()) return {};
  const auto& [start, block] = *--found;
  if (at - start > block.bytes || bytes > block.bytes - (at - start)) return {};
  return {block.number, getpid(), block.file, block.bytes, at - start};
}

char* MapShared(const SharedPlace& place) {
  const std::string path = "/proc/" + std::to_string(place.process) + "/fd/" + std::to_string(place.file);
  // On another host, or in another container, something else may be there.
  char name[64] = {};
  const std::string expected = "/memfd:" + NameOf(place.block);
  if (readlink(path.c_str(), name, sizeof(name) - 1) < 0 || std::string(name).compare(0, expected.size(), expected) != 0) return nullptr;
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) return nullptr;
  struct stat status{};
  const bool whole = fstat(file, &status) == 0 && static_cast<std::uint64_t>(status.st_size) == place.bytes;
  void* const data = whole ? mmap(nullptr, place.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
  close(file);
  return data == MAP_FAILED ? nullptr : static_cast<char*>(data);
}

void UnmapShared(char* data, std::size_t bytes) { munmap(data, bytes); }

#else

void* ShareMemory(std::size_t) { return nullptr; }
void UnshareMemory(void*, std::size_t) {}
SharedPlace PlaceOf(const void*, std::size_t) { return {}; }
char* MapShared(const SharedPlace&) { return nullptr; }
void UnmapShared(char*, std::size_t) {}

#endif

}  // namespace wengert
