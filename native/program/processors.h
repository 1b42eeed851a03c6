// How many processors the process may use.
#pragma once

#include <string>

namespace wengert {

// The processors there are, those that the affinity mask leaves, or the quota of the control group rounded down,
// whichever is least; 1 at least. Read once.
int Processors();

// The processor quota of the process's control group and the groups that it lies in (versions 1 and 2), as a number of
// processors; 0 where there is none. Files are looked for below `root`: empty for the system's own, a folder in a test.
double ProcessorQuota(const std::string& root);

}  // namespace wengert
