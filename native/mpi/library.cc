#include "library.h"

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

namespace wengert {

#if defined(_WIN32)

bool MpiLibrary::Open(const std::vector<std::string>&, std::vector<std::string>& failures) {
  failures.push_back("MPI is not used on Windows");
  return false;
}

#else

namespace {

constexpr int kMostNames = 20;

template <class F>
bool Find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

MpiHandle AddressOf(void* library, const char* name) { return reinterpret_cast<MpiHandle>(dlsym(library, name)); }

}  // namespace

bool MpiLibrary::Open(const std::vector<std::string>& files, std::vector<std::string>& failures) {
  for (const std::string& name : files) {
    if (failures.size() >= kMostNames) break;
    // Global: Open MPI's plugins look for its symbols in the process.
    void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (library == nullptr) {
      const char* const said = dlerror();
      failures.push_back(said == nullptr ? name : said);
      continue;
    }
    const bool whole = Find(library, "MPI_Init_thread", InitThread) && Find(library, "MPI_Initialized", Initialized) &&
                       Find(library, "MPI_Comm_rank", CommRank) && Find(library, "MPI_Comm_size", CommSize) &&
                       Find(library, "MPI_Comm_dup", CommDup) && Find(library, "MPI_Allreduce", Allreduce) &&
                       Find(library, "MPI_Iallreduce", Iallreduce) && Find(library, "MPI_Ibcast", Ibcast) &&
                       Find(library, "MPI_Ibarrier", Ibarrier) &&
                       Find(library, "MPI_Test", Test) && Find(library, "MPI_Isend", Isend) &&
                       Find(library, "MPI_Irecv", Irecv) && Find(library, "MPI_Iprobe", Iprobe) && Find(library, "MPI_Recv", Recv) &&
                       Find(library, "MPI_Abort", Abort) && Find(library, "MPI_Finalize", Finalize) &&
                       Find(library, "MPI_Get_library_version", LibraryVersion);
    if (!whole) {
      failures.push_back(name + ": no MPI 3 library");
      dlclose(library);
      continue;
    }
    file = name;
    world = AddressOf(library, "ompi_mpi_comm_world");
    if (world != 0) {
      family = "Open MPI";
      byte = AddressOf(library, "ompi_mpi_byte");
      float32 = AddressOf(library, "ompi_mpi_float");
      float64 = AddressOf(library, "ompi_mpi_double");
      sum = AddressOf(library, "ompi_mpi_op_sum");
      in_place = reinterpret_cast<void*>(1);
      no_status = nullptr;
      any_source = -1;
    } else {
      family = "MPICH";
      world = 0x44000000;
      byte = 0x4c00010d;
      float32 = 0x4c00040a;
      float64 = 0x4c00080b;
      sum = 0x58000003;
      in_place = reinterpret_cast<void*>(-1);
      no_status = reinterpret_cast<void*>(1);
      any_source = -2;
    }
    return true;
  }
  return false;
}

#endif

}  // namespace wengert
