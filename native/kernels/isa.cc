#include "isa.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace wengert {

namespace {

Isa Detect() {
  Isa best = Isa::kBaseline;
#if WENGERT_HAS_X86_ISAS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    best = Isa::kAvx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      best = Isa::kAvx512;
    }
  }
#endif
  if (const char* wanted = std::getenv("WENGERT_ISA")) {
    for (Isa isa : {Isa::kBaseline, Isa::kAvx2}) {
      if (std::strcmp(wanted, IsaName(isa)) == 0 && isa < best) return isa;
    }
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
