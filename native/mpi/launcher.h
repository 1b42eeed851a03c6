// The connection to the launcher that MPI's library holds, where its number is known: Hydra's, which starts MPICH's ranks.
#pragma once

#include <cstdint>

namespace wengert {

class LauncherConnection {
 public:
  // Before MPI begins: its number is in the environment.
  void Find();
  // In the place of an MPI that does not finalize: says that this rank ends as it should. Hydra takes a connection that ends without for
  // a failure: it kills the other ranks, and its exit code is 1.
  void Finish() const;

 private:
  int file_ = -1;
  std::uint64_t node_ = 0;  // that the number still means the same connection is known by this
};

}  // namespace wengert
