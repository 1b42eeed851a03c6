// Random draws: uniform and normal variates and permutations from a counter, with the bits of lib/util/random.ts. Only
// additions, products, quotients and square roots are used, and contraction is off: every machine makes the same numbers.
// Operands: out[n], counter[4].
#include <cmath>
#include <cstdint>
#include <memory>

#include "checks.h"
#include "kernel.h"
#include "random.h"
#include "rooms.h"

namespace wengert {
namespace {

constexpr std::int64_t kWords = std::int64_t{1} << 32;
enum Kinds { kUniform, kNormal, kPermutation, kKinds };

// ln x for x in (0, 1], as fdlibm computes it.
double Log(double x) {
  int k = 0;
  while (x < 0.70710678118654752) {
    x *= 2;
    k--;
  }
  const double f = x - 1, hfsq = 0.5 * f * f, s = f / (2 + f), z = s * s, w = z * z;
  const double even = w * (0.3999999999940941908 + w * (0.2222219843214978396 + w * 0.1531383769920937332));
  const double odd =
      z * (0.6666666666666735130 + w * (0.2857142874366239149 + w * (0.1818357216161805012 + w * 0.1479819860511658591)));
  const double r = even + odd;
  return s * (hfsq + r) + k * 1.90821492927058770002e-10 - hfsq + f + k * 6.93147180369123816490e-01;
}

// cos(2 pi u) for u in [0, 1): the nearest quarter turn is taken off exactly, the rest is a polynomial.
double CosTurn(double u) {
  const double t = 4 * u, q = std::floor(t + 0.5), x = (t - q) * 1.57079632679489661923, z = x * x;
  const int quarter = static_cast<int>(q) & 3;
  if ((quarter & 1) == 0) {
    const double r = z * (4.16666666666666019037e-02 +
                          z * (-1.38888888888741095749e-03 +
                               z * (2.48015872894767294178e-05 +
                                    z * (-2.75573143513906633035e-07 +
                                         z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
    const double hz = 0.5 * z, one = 1 - hz;
    const double c = one + ((1 - one - hz) + z * r);
    return quarter == 0 ? c : -c;
  }
  const double r = 8.33333333332248946124e-03 +
                   z * (-1.98412698298579493134e-04 +
                        z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)));
  const double s = x + z * x * (-1.66666666666666324348e-01 + z * r);
  return quarter == 1 ? -s : s;
}

inline double Uniform(std::uint32_t high, std::uint32_t low) {
  return (static_cast<double>(high >> 5) * 67108864 + static_cast<double>(low >> 6)) / 9007199254740992.0;
}

class Random final : public Instruction {
 public:
  Random(const std::int64_t* ints, Dtype dtype, double low, double high)
      : n_(ints[0]), kind_(static_cast<int>(ints[1])), purpose_(static_cast<std::uint32_t>(ints[2])), by_row_(ints[3] != 0),
        mix_{static_cast<std::uint32_t>(ints[4]), static_cast<std::uint32_t>(ints[5])}, dtype_(dtype), low_(low),
        range_(high - low) {}

  bool Run(void* const* operands, Context&) const override {
    const std::int32_t* counter = static_cast<const std::int32_t*>(operands[1]);
    const std::uint32_t key[2] = {static_cast<std::uint32_t>(counter[0]) ^ mix_[0], (static_cast<std::uint32_t>(counter[1]) ^ mix_[1]) & 0x1fffff};
    const std::uint32_t a = static_cast<std::uint32_t>(counter[2]), b = by_row_ ? static_cast<std::uint32_t>(counter[3]) : 0;
    if (kind_ == kPermutation) {
      const std::uint64_t seed = key[0] | (static_cast<std::uint64_t>(key[1]) << 32);
      Permutation(static_cast<std::int32_t*>(operands[0]), static_cast<std::size_t>(n_), seed, purpose_, a, b);
    } else if (dtype_ == Dtype::kFloat32) {
      Fill(static_cast<float*>(operands[0]), key, a, b);
    } else {
      Fill(static_cast<double*>(operands[0]), key, a, b);
    }
    return true;
  }

 private:
  template <typename T>
  void Fill(T* out, const std::uint32_t key[2], std::uint32_t a, std::uint32_t b) const {
    std::uint32_t words[4];
    for (std::int64_t i = 0; i < n_; i++) {
      const bool normal = kind_ == kNormal;
      if (normal || (i & 1) == 0) {
        const std::uint32_t block[4] = {static_cast<std::uint32_t>(normal ? i : i >> 1), a, b, purpose_};
        Philox(words, block, key);
      }
      if (normal) {
        const double radius = std::sqrt(-2 * Log(1 - Uniform(words[0], words[1])));
        out[i] = static_cast<T>(radius * CosTurn(Uniform(words[2], words[3])));
      } else {
        const std::size_t at = 2 * static_cast<std::size_t>(i & 1);
        out[i] = static_cast<T>(low_ + range_ * Uniform(words[at], words[at + 1]));
      }
    }
  }

  std::int64_t n_;
  int kind_;
  std::uint32_t purpose_;
  bool by_row_;
  std::uint32_t mix_[2];
  Dtype dtype_;
  double low_, range_;
};

}  // namespace

std::unique_ptr<Instruction> PrepareRandom(const Call& call) {
  const char* op = "random";
  const std::int64_t* ints = CheckDims(op, call, 6);
  const double* scalars = CheckScalars(op, call, 2);
  CheckCounts(op, call, 1, 1);
  if (ints[1] >= kKinds) Refuse(op, "a kind of draw below 3", ints[1]);
  if (ints[0] >= kWords / 2) Refuse(op, "fewer than 2^31 numbers", ints[0]);
  for (int i = 2; i < 6; i++) {
    if (ints[i] >= kWords) Refuse(op, "words of 32 bits", ints[i]);
  }
  const Kind kind = ints[1] == kPermutation ? Kind::kInt32 : Kind::kFloat;
  const Dtype dtype = CheckOperand(op, "out", call.outputs[0], kind, ints[0]);
  CheckOperand(op, "counter", call.inputs[0], Kind::kInt32, 4);
  return std::make_unique<Random>(ints, dtype, scalars[0], scalars[1]);
}

}  // namespace wengert
