// The connection to the launcher that MPI's library holds, where its number is known: Hydra's, which starts MPICH's ranks.
#pragma once

#include <cstdint>

namespace wengert {

class LauncherConnection {
 public:
  // Before MPI begins: its number is in the environment.
  void Find();
  // In the place of an MPI that does not finalize: ends all ranks with the exit code 0. Hydra would take a connection that ends without a
  // word for a failure: it ends them too, and its exit code may be 1.
  void EndAll() const;

 private:
  int file_ = -1;
  std::uint64_t node_ = 0;  // that the number still means the same connection is known by this
};

}  // namespace wengert
