// The kernels in the order in which programs number them: `kernelNames` in lib/backend/program.ts.
#include "rooms.h"

namespace wengert {

#define WENGERT_ENTRY(name, Name) {#name, Prepare##Name},
const KernelEntry kKernels[] = {WENGERT_KERNELS(WENGERT_ENTRY)};
const std::size_t kKernelCount = sizeof(kKernels) / sizeof(kKernels[0]);

}  // namespace wengert
