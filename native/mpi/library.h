// An MPI library found at run time, without its header: Open MPI and MPICH (and what has its ABI: Intel MPI, MVAPICH, Cray)
// by the constants of their binary interfaces. Handles are passed as words: Open MPI's are addresses, MPICH's integers,
// of which a callee reads the low half.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace wengert {

using MpiHandle = std::uintptr_t;

struct MpiLibrary {
  // The file that was loaded, "Open MPI" or "MPICH", and what it says of itself.
  std::string file, family;

  int (*InitThread)(int*, char***, int, int*) = nullptr;
  int (*Initialized)(int*) = nullptr;
  int (*CommRank)(MpiHandle, int*) = nullptr;
  int (*CommSize)(MpiHandle, int*) = nullptr;
  int (*CommDup)(MpiHandle, MpiHandle*) = nullptr;
  int (*Allreduce)(const void*, void*, int, MpiHandle, MpiHandle, MpiHandle) = nullptr;
  int (*Iallreduce)(const void*, void*, int, MpiHandle, MpiHandle, MpiHandle, MpiHandle*) = nullptr;
  int (*Ibcast)(void*, int, MpiHandle, int, MpiHandle, MpiHandle*) = nullptr;
  int (*Ibarrier)(MpiHandle, MpiHandle*) = nullptr;
  int (*Test)(MpiHandle*, int*, void*) = nullptr;
  int (*Isend)(const void*, int, MpiHandle, int, int, MpiHandle, MpiHandle*) = nullptr;
  int (*Irecv)(void*, int, MpiHandle, int, int, MpiHandle, MpiHandle*) = nullptr;
  int (*Iprobe)(int, int, MpiHandle, int*, void*) = nullptr;
  int (*Recv)(void*, int, MpiHandle, int, int, MpiHandle, void*) = nullptr;
  int (*Abort)(MpiHandle, int) = nullptr;
  int (*Finalize)() = nullptr;
  int (*LibraryVersion)(char*, int*) = nullptr;

  MpiHandle world = 0, byte = 0, float32 = 0, float64 = 0, sum = 0;
  void* in_place = nullptr;
  void* no_status = nullptr;
  int any_source = 0;

  // Loads the first of `files` that is an MPI library; what each of the others said goes to `failures`. False where none is.
  bool Open(const std::vector<std::string>& files, std::vector<std::string>& failures);
};

}  // namespace wengert
