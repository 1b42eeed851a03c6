#include "random.h"

namespace wengert {

void Philox(std::uint32_t out[4], const std::uint32_t counter[4], const std::uint32_t key[2]) {
  std::uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  std::uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    const std::uint64_t product0 = std::uint64_t{0xd2511f53} * c0;
    const std::uint64_t product1 = std::uint64_t{0xcd9e8d57} * c2;
    c0 = static_cast<std::uint32_t>(product1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(product1);
    c2 = static_cast<std::uint32_t>(product0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(product0);
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

Stream::Stream(std::uint64_t seed, std::uint32_t purpose, std::uint32_t a, std::uint32_t b)
    : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}, counter_{0, a, b, purpose} {}

std::uint32_t Stream::Word() {
  if (lane_ == 4) {
    Philox(words_, counter_, key_);
    counter_[0]++;
    lane_ = 0;
  }
  return words_[lane_++];
}

std::uint32_t Stream::Bounded(std::uint32_t n) {
  std::uint64_t product = std::uint64_t{Word()} * n;
  if (static_cast<std::uint32_t>(product) < n) {
    const std::uint32_t threshold = (0u - n) % n;
    while (static_cast<std::uint32_t>(product) < threshold) product = std::uint64_t{Word()} * n;
  }
  return static_cast<std::uint32_t>(product >> 32);
}

void Permutation(std::int32_t* out, std::size_t n, std::uint64_t seed, std::uint32_t purpose, std::uint32_t a,
                 std::uint32_t b) {
  Stream stream(seed, purpose, a, b);
  for (std::size_t i = 0; i < n; i++) out[i] = static_cast<std::int32_t>(i);
  for (std::size_t i = n; i-- > 1;) {
    const std::uint32_t j = stream.Bounded(static_cast<std::uint32_t>(i + 1));
    const std::int32_t kept = out[i];
    out[i] = out[j];
    out[j] = kept;
  }
}

}  // namespace wengert
