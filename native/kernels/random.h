// Counter-based randomness, exactly that of lib/util/random.ts (which documents it): Philox 4×32 with 10 rounds,
// bounded integers by multiply-shift with rejection, permutations by Fisher–Yates.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wengert {

// Ten rounds on `counter` under `key`; writes four words.
void Philox(std::uint32_t out[4], const std::uint32_t counter[4], const std::uint32_t key[2]);

// A sequential reader of the stream (seed, purpose, a, b).
class Stream {
 public:
  Stream(std::uint64_t seed, std::uint32_t purpose, std::uint32_t a, std::uint32_t b);
  std::uint32_t Word();
  // An unbiased integer in 0 … n - 1, n >= 1.
  std::uint32_t Bounded(std::uint32_t n);

 private:
  std::uint32_t words_[4];
  std::uint32_t key_[2];
  std::uint32_t counter_[4];
  unsigned lane_ = 4;
};

// Fills out[n] with a permutation of 0 … n - 1; n < 2^31.
void Permutation(std::int32_t* out, std::size_t n, std::uint64_t seed, std::uint32_t purpose, std::uint32_t a,
                 std::uint32_t b);

}  // namespace wengert
