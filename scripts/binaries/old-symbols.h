// Included before every source of a release binary: functions whose newer version in glibc differs from the first one in how
// it reports errors alone, and would raise the oldest C library that the binary runs on (2.29 for these three).
#include <cstddef>
#undef _GLIBCXX_USE_PTHREAD_COND_CLOCKWAIT  // pthread_cond_clockwait is of 2.30: waiting with a limit goes by the other clock

#if defined(__x86_64__)
#define WENGERT_FIRST "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define WENGERT_FIRST "GLIBC_2.17"
#endif
__asm__(".symver pow, pow@" WENGERT_FIRST);
__asm__(".symver exp, exp@" WENGERT_FIRST);
__asm__(".symver log, log@" WENGERT_FIRST);
