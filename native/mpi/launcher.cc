#include "launcher.h"

#if !defined(_WIN32)
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#endif

namespace wengert {

#if defined(_WIN32)

void LauncherConnection::Find() {}
void LauncherConnection::EndAll() const {}

#else

void LauncherConnection::Find() {
  const char* const number = std::getenv("PMI_FD");
  struct stat known;
  if (number == nullptr || fstat(std::atoi(number), &known) != 0 || !S_ISSOCK(known.st_mode)) return;
  file_ = std::atoi(number);
  node_ = known.st_ino;
}

void LauncherConnection::EndAll() const {
  struct stat known;
  if (file_ < 0 || fstat(file_, &known) != 0 || !S_ISSOCK(known.st_mode) || known.st_ino != node_) return;
  // Of the process management interface's first version, by which MPICH talks to Hydra. It needs no answer: the thread in
  // MPI_Finalize may be waiting for one, and would take it.
  static const char kAbort[] = "cmd=abort exitcode=0\n";
  (void)!write(file_, kAbort, std::strlen(kAbort));
}

#endif

}  // namespace wengert
