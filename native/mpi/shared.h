// Memory that other processes of this host can reach: what they add up they read and write where it lies. Linux alone.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wengert {

// How another process finds memory of this one.
struct SharedPlace {
  std::uint64_t block = 0;  // a number that is drawn for it; 0: none
  std::int64_t process = 0;
  std::int64_t file = -1;
  std::uint64_t bytes = 0;   // of the block
  std::uint64_t offset = 0;  // in it
};

// Zeroed memory that others can map; null where the system gives none.
void* ShareMemory(std::size_t bytes);
// Of what ShareMemory gave. Others may still have it in their address space, without content.
void UnshareMemory(void* data, std::size_t bytes);
// Where so many bytes lie; no block where they are not, as a whole, in memory that was given.
SharedPlace PlaceOf(const void* data, std::size_t bytes);
// The block of a place, in this process; null where it cannot be reached.
char* MapShared(const SharedPlace& place);
void UnmapShared(char* data, std::size_t bytes);

}  // namespace wengert
