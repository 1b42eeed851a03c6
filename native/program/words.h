// Reads a description that comes as one array of numbers: every count, offset and integer in it is checked as it is
// taken.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../kernels/kernel.h"

namespace wengert {

constexpr std::int64_t kLargestInteger = 9007199254740991;  // 2^53 - 1

// A short text for numbers in messages: integers without a point.
inline std::string TextOf(double value) {
  if (std::isfinite(value) && value == std::floor(value) && std::fabs(value) < 1e15) {
    return std::to_string(static_cast<std::int64_t>(value));
  }
  return std::to_string(value);
}

[[noreturn]] inline void Malform(const std::string& what, const std::string& expected, const std::string& got) {
  throw Malformed(what + ": expected " + expected + ", got " + got);
}

class Words {
 public:
  // `words` belongs to the caller.
  Words(const char* what, const double* words, std::size_t count) : what_(what), words_(words), left_(count) {}

  std::int64_t Integer(const char* name) {
    const double value = Number(name);
    if (!(std::fabs(value) <= static_cast<double>(kLargestInteger)) || value != std::floor(value)) {
      Malform(what_, std::string(name) + " as a safe integer", TextOf(value));
    }
    return static_cast<std::int64_t>(value);
  }

  // An integer in 0 … most.
  std::int64_t Count(const char* name, std::int64_t most = kLargestInteger) {
    const std::int64_t value = Integer(name);
    if (value < 0 || value > most) {
      Malform(what_, std::string(name) + " in 0 … " + std::to_string(most), std::to_string(value));
    }
    return value;
  }

  Dtype Type(const char* name) { return static_cast<Dtype>(Count(name, 3)); }
  bool Flag(const char* name) { return Count(name, 1) == 1; }

  // How many items of at least `size` words follow; refused where so many words are not there.
  std::size_t Items(const char* name, std::size_t size) {
    return static_cast<std::size_t>(Count(name, static_cast<std::int64_t>(left_ / size)));
  }

  void Integers(const char* name, std::size_t count, std::vector<std::int64_t>& out) {
    Need(name, count);
    out.resize(count);
    for (std::int64_t& value : out) value = Integer(name);
  }

  // `count` numbers as they are; they stay the caller's.
  const double* Numbers(const char* name, std::size_t count) {
    Need(name, count);
    const double* const numbers = words_;
    words_ += count;
    left_ -= count;
    return numbers;
  }

  std::size_t left() const { return left_; }

 private:
  double Number(const char* name) { return *Numbers(name, 1); }

  void Need(const char* name, std::size_t count) const {
    if (count > left_) Malform(what_, std::to_string(count) + " words more (" + name + ")", std::to_string(left_));
  }

  const char* what_;
  const double* words_;
  std::size_t left_;
};

}  // namespace wengert
