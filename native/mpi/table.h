// The ranks of one host at a table: they add up, in each other's memory, what all of them have there. Each makes its slice of the
// sums, in the order of the ranks, and writes it to all: every number crosses once, and all hold the same bits.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "shared.h"

namespace wengert {

class Table {
 public:
  // `agree` is true on all ranks where it was given true on all; `announce` gives them the first's place.
  using Agree = std::function<bool(bool)>;
  using Announce = std::function<bool(SharedPlace&)>;
  // A table for ranks that do, all of them, reach the first's memory. All have to call it. False where there is none.
  bool Lay(int rank, int ranks, const Announce& announce, const Agree& agree);

  enum class Outcome { kDone, kElsewhere, kLeft };
  // All have to call it. Elsewhere, on all ranks: not all of them have their numbers where the others reach them; nothing was
  // done. Left: `leaving` has become true while this rank waited.
  Outcome Sum(void* data, std::int64_t length, bool doubles, bool yields, const std::atomic<bool>& leaving);

 private:
  struct Seat;
  struct Setting {
    std::vector<SharedPlace> places;  // of the ranks' blocks
    std::vector<char*> blocks;        // null where not mapped
  };
  bool Meet(bool yields, const std::atomic<bool>& leaving);
  const Setting* SettingOf(const std::vector<SharedPlace>& places, bool& fresh);
  void Clear(Setting& setting);

  Seat* seats_ = nullptr;  // null: no table
  std::size_t rank_ = 0;
  std::size_t ranks_ = 0;
  std::uint64_t met_ = 0;
  std::vector<Setting> settings_;  // the last ones used, the latest first: the same on all ranks
};

}  // namespace wengert
