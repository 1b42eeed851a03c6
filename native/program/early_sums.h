// What a run makes before others' sums of it may begin: the steps before a collective, by what they make of its pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace wengert {

struct Program;

// A step's rows from … to − 1, if it is made in rows, after which so many pieces of the collective have been made.
struct Stage {
  std::int64_t from, to;
  std::size_t pieces;
};

// A step after which more pieces are there than before.
struct Staged {
  std::size_t step;
  bool by_rows;
  std::vector<Stage> stages;  // in the order in which they are to be made
};

struct EarlySums {
  std::size_t collective = 0;  // a step
  std::vector<Staged> staged;  // in the order of the steps; none: nothing begins before the collective
};

// Of the first collective with pieces that is in no loop.
EarlySums FindEarlySums(const Program& program);

}  // namespace wengert
