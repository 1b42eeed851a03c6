// What this binary is and can, and the small services that belong to no program.
#include <napi.h>

#include "../kernels/blas.h"
#include "../kernels/isa.h"
#include "../kernels/random.h"
#include "../program/pool.h"
#include "../program/processors.h"
#include "../program/program.h"
#include "../program/words.h"
#include "boundary.h"
#include "errors.h"
#include "values.h"

namespace wengert {

napi_value Describe(napi_env env, napi_callback_info) {
  return Guard(env, [&]() -> napi_value {
    Napi::Object description = Napi::Object::New(env);
    // As programs number them: the loop comes last.
    Napi::Array kernels = Napi::Array::New(env, kLoopKernel + 1);
    for (std::size_t i = 0; i <= kLoopKernel; i++) kernels.Set(static_cast<std::uint32_t>(i), KernelName(i));
    Napi::Array elementwise = Napi::Array::New(env, kElementwiseCount);
    for (std::size_t i = 0; i < kElementwiseCount; i++)
      elementwise.Set(static_cast<std::uint32_t>(i), kElementwiseNames[i]);
    description.Set("kernels", kernels);
    description.Set("elementwise", elementwise);
    description.Set("blas", BlasName());
    description.Set("isa", IsaName(ActiveIsa()));
    description.Set("threads", Pool::threads());
    description.Set("processors", Processors());
    return description;
  });
}

napi_value Threads(napi_env env, napi_callback_info) {
  return Guard(env, [&]() -> napi_value { return Napi::Number::New(env, Pool::threads()); });
}

napi_value SetThreads(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    Pool::set_threads(static_cast<int>(CountOf(env, args[0], "setThreads", 1 << 20)));
    return nullptr;
  });
}

napi_value QuotaBelow(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    char root[4096];
    std::size_t length = 0;
    if (napi_get_value_string_utf8(env, args[0], root, sizeof(root), &length) != napi_ok)
      Malform("processorQuota", "a folder", "something else");
    return Napi::Number::New(env, ProcessorQuota(root));
  });
}

napi_value Permutations(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    const Span out = SpanOf(env, args[0], "permutations");
    const std::int64_t n = CountOf(env, args[1], "permutations (n)", INT32_MAX);
    if (out.dtype != Dtype::kInt32 || n == 0 || out.length % n != 0) {
      Malform("permutations", "an Int32Array of a multiple of " + std::to_string(n) + " elements",
              std::to_string(out.length));
    }
    const auto word = [&](std::size_t i) {
      return static_cast<std::uint32_t>(CountOf(env, args[i], "permutations (the key)", UINT32_MAX));
    };
    const std::uint64_t seed = static_cast<std::uint64_t>(word(3)) << 32 | word(2);
    const std::uint32_t purpose = word(4);
    const std::uint32_t a = word(5);
    const std::uint32_t b = word(6);
    std::int32_t* const to = static_cast<std::int32_t*>(out.data);
    for (std::int64_t i = 0; i < out.length / n; i++) {
      Permutation(to + i * n, static_cast<std::size_t>(n), seed, purpose, a + static_cast<std::uint32_t>(i), b);
    }
    return nullptr;
  });
}

}  // namespace wengert
