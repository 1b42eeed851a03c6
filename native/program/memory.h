// Zeroed, aligned memory that is owned; refused before it is asked for where no machine of this size could give it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#include "../mpi/shared.h"

namespace wengert {

// What one program, state or copy may take at most: the physical memory of the machine.
std::size_t MemoryLimit();

// Asks the system to take memory that nobody has touched yet from pages of kHugePage, where it has such: of large blocks fewer
// addresses are looked up and fewer pages faulted in. Nothing but speed depends on it.
constexpr std::size_t kHugePage = std::size_t{2} << 20;
void AskForHugePages(void* begin, std::size_t bytes);

class Memory {
 public:
  static constexpr std::size_t kAlignment = 64;

  Memory() = default;
  // Throws std::bad_alloc. Large blocks come untouched from the system, so that they cost nothing until used.
  explicit Memory(std::size_t bytes) : bytes_(bytes) {
    if (bytes > MemoryLimit()) throw std::bad_alloc();
    block_ = std::calloc(1, bytes + kAlignment);
    if (block_ == nullptr) throw std::bad_alloc();
    const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(block_);
    data_ = static_cast<char*>(block_) + (kAlignment - address % kAlignment) % kAlignment;
    if (bytes >= kHugePage) AskForHugePages(data_, bytes);
  }
  // The same, where other processes of this host reach it, if the system gives such memory.
  static Memory Shared(std::size_t bytes) {
    if (bytes > MemoryLimit()) throw std::bad_alloc();
    Memory memory;
    memory.data_ = bytes == 0 ? nullptr : static_cast<char*>(ShareMemory(bytes));
    if (memory.data_ == nullptr) return Memory(bytes);
    memory.bytes_ = bytes;
    memory.shared_ = true;
    return memory;
  }
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(shared_, other.shared_);
    return *this;
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() {
    if (shared_) UnshareMemory(data_, bytes_);
    std::free(block_);
  }

  char* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  void* block_ = nullptr;
  char* data_ = nullptr;
  std::size_t bytes_ = 0;
  bool shared_ = false;
};

}  // namespace wengert
