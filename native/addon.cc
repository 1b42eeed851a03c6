// What the addon exports. lib/native/addon.ts declares the same list with its types.
#include <node_api.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#endif

#include "async/async.h"
#include "boundary/boundary.h"
#include "boundary/errors.h"
#include "boundary/handles.h"

namespace wengert {

static const struct {
  const char* name;
  napi_callback function;
} kExports[] = {
    {"describe", Describe},
    {"threads", Threads},
    {"setThreads", SetThreads},
    {"processorQuota", QuotaBelow},
    {"permutations", Permutations},
    {"call", EagerCall},
    {"compile", CompileProgram},
    {"run", RunProgram},
    {"releaseProgram", ReleaseProgram},
    {"createState", CreateState},
    {"writeState", WriteState},
    {"readState", ReadState},
    {"stateVersion", StateVersion},
    {"releaseState", ReleaseState},
    {"createRunner", CreateRunner},
    {"runBlock", RunBlock},
    {"cancelRunner", CancelRunner},
    {"runnerProgress", RunnerProgress},
    {"closeRunner", CloseRunner},
    {"abandonAll", AbandonAll},
    {"worldBegin", WorldBegin},
    {"worldWatch", WorldWatch},
    {"worldCollective", WorldCollective},
    {"worldAbort", WorldAbort},
    {"worldFinalize", WorldFinalize},
    {"worldWaits", WorldWaits},
};

// Threads of the pool outlive the environment that started them. On Windows the library is unloaded with the last
// environment that loaded it, a worker's perhaps, under their feet.
static void Stay() {
#if defined(_WIN32)
  HMODULE library;
  GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                     reinterpret_cast<LPCWSTR>(&kExports), &library);
#endif
}

static napi_value Initialize(napi_env env, napi_value exports) {
  return Guard(env, [&]() -> napi_value {
    Stay();
    Instance::Create(env);
    for (const auto& entry : kExports) {
      napi_value function;
      Check(env, napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &function));
      Check(env, napi_set_named_property(env, exports, entry.name, function));
    }
    return exports;
  });
}

}  // namespace wengert

NAPI_MODULE_INIT() { return wengert::Initialize(env, exports); }
