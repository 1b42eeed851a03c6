// Zeroed, aligned memory that is owned; refused before it is asked for where no machine of this size could give it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

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
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { std::free(block_); }

  char* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  explicit operator bool() const { return block_ != nullptr; }

 private:
  void* block_ = nullptr;
  char* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace wengert
