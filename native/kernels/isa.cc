#include "isa.h"

#include <initializer_list>

#include "environment.h"

#if WENGERT_HAS_X86_ISAS
#include <cpuid.h>
#endif

namespace wengert {

namespace {

#if WENGERT_HAS_X86_ISAS
// Asked of the processor itself: what the compilers offer for it is not in the libraries of every platform. macOS turns
// AVX-512 on when a process first uses it and does not own up to it before, so it counts as absent there.
Isa Best() {
  unsigned a, b, c, d;
  constexpr unsigned kFma = 1u << 12, kXsave = 1u << 27, kAvx = 1u << 28;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (kFma | kXsave | kAvx)) != (kFma | kXsave | kAvx)) return Isa::kBaseline;
  // Registers that the system keeps for each thread.
  unsigned kept, high;
  __asm__ volatile("xgetbv" : "=a"(kept), "=d"(high) : "c"(0));
  constexpr unsigned kYmm = 0x6, kZmm = 0xe6;
  constexpr unsigned kAvx2 = 1u << 5, kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  if ((kept & kYmm) != kYmm || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & kAvx2) == 0) return Isa::kBaseline;
  return (kept & kZmm) == kZmm && (b & kAvx512) == kAvx512 ? Isa::kAvx512 : Isa::kAvx2;
}
#else
Isa Best() { return Isa::kBaseline; }
#endif

Isa Detect() {
  const Isa best = Best();
  const std::string wanted = Environment("WENGERT_ISA");
  for (Isa isa : {Isa::kBaseline, Isa::kAvx2}) {
    if (wanted == IsaName(isa) && isa < best) return isa;
  }
  return best;
}

}  // namespace

Isa ActiveIsa() {
  static const Isa isa = Detect();
  return isa;
}

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kAvx512: return "avx512";
    case Isa::kAvx2: return "avx2";
    default: return "baseline";
  }
}

}  // namespace wengert
