#include "processors.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace wengert {

namespace {

double Least(double a, double b) { return a > 0 && b > 0 ? std::min(a, b) : std::max(a, b); }

// The first 64 kB of a file; nothing where it cannot be read. Not by a stream, which would bring the C++ library's locales
// into the binary.
std::string TextOf(const std::string& path) {
  std::string text;
  if (std::FILE* file = std::fopen(path.c_str(), "rb")) {
    text.resize(std::size_t{1} << 16);
    text.resize(std::fread(&text[0], 1, text.size(), file));
    std::fclose(file);
  }
  return text;
}

// A quota and its period: both in one file (version 2; "max" for none), or in one each (version 1; -1 for none).
double QuotaOf(const std::string& folder) {
  double quota = 0;
  double period = 0;
  if (std::sscanf(TextOf(folder + "/cpu.max").c_str(), "%lf %lf", &quota, &period) < 2) {
    if (std::sscanf(TextOf(folder + "/cpu.cfs_quota_us").c_str(), "%lf", &quota) < 1) return 0;
    if (std::sscanf(TextOf(folder + "/cpu.cfs_period_us").c_str(), "%lf", &period) < 1) return 0;
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

// The least quota from a group up to the root of its hierarchy. In a container the path may be that of the host, which
// is not mounted there: then only the last folders exist, and they are the container's own.
double QuotaUp(const std::string& mount, std::string path) {
  double least = 0;
  for (;;) {
    least = Least(least, QuotaOf(mount + path));
    const std::size_t cut = path.find_last_of('/');
    if (cut == std::string::npos) return least;
    path.erase(cut);
  }
}

}  // namespace

double ProcessorQuota(const std::string& root) {
  const std::string mounts = root + "/sys/fs/cgroup";
  const std::string text = TextOf(root + "/proc/self/cgroup");
  double quota = 0;
  // Lines are number:controllers:path. Without controllers the line is of version 2; both may be there.
  for (std::size_t start = 0, end; start < text.size(); start = end + 1) {
    end = std::min(text.find('\n', start), text.size());
    const std::string line = text.substr(start, end - start);
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      quota = Least(quota, QuotaUp(mounts, path));
      quota = Least(quota, QuotaUp(mounts + "/unified", path));
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      quota = Least(quota, QuotaUp(mounts + "/" + controllers, path));
      quota = Least(quota, QuotaUp(mounts + "/cpu", path));
    }
  }
  return quota;
}

int Processors() {
  static const int processors = [] {
    int count = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) count = std::min(count, CPU_COUNT(&set));
    const double quota = ProcessorQuota("");
    if (quota > 0 && quota < count) count = static_cast<int>(quota);
#endif
    return std::max(1, count);
  }();
  return processors;
}

}  // namespace wengert
