// Eager execution: one kernel call on typed arrays. Preparing a call costs more than running a small one, and programs
// that call eagerly repeat themselves, so prepared calls are kept by their description.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "../program/program.h"

namespace wengert {

// Belongs to the JavaScript thread of one environment.
class EagerCache {
 public:
  struct Prepared {
    std::vector<double> key;
    const char* kernel;
    std::size_t outputs;
    std::unique_ptr<Instruction> instruction;
  };

  // The call that `words` describe on these operands, checked but for overlaps. Throws Malformed.
  //
  //   kernel, outputs, inputs, ints, scalars (counts), then the ints and the scalars; what follows is not looked at
  const Prepared& Find(const double* words, std::size_t count, const std::vector<Operand>& operands);

  // Scratch of the running call, kept for its memory.
  std::vector<Operand> operands;
  std::vector<Extent> extents;
  std::vector<void*> pointers;

 private:
  static constexpr std::size_t kMost = 1024;     // calls kept
  static constexpr std::size_t kLongest = 4096;  // words of a call that is kept

  std::unordered_map<std::uint64_t, Prepared> kept_;
  Prepared passing_;  // a call that is not kept
  std::vector<double> key_;
  std::vector<std::int64_t> ints_;
};

}  // namespace wengert
