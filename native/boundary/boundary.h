// The functions that the addon exports, but for those that run threads (async/async.h). Their arguments are documented
// where TypeScript declares them: lib/native/addon.ts.
#pragma once

#include <node_api.h>

#include <memory>

#include "../program/binding.h"
#include "../program/memory.h"
#include "../program/program.h"
#include "../program/state.h"
#include "handles.h"

namespace wengert {

// A compiled program, with what a synchronous run of it needs.
class ProgramHandle : public Handle {
 public:
  ProgramHandle(Instance& instance, std::shared_ptr<const Program> program)
      : Handle(instance, HandleKind::kProgram), program(std::move(program)) {}

  std::shared_ptr<const Program> program;
  // Made at the first synchronous run.
  Memory arena;
  std::vector<double> row;
  std::unique_ptr<Binding> binding;
  std::vector<void*> arrays;

 protected:
  void Free() override {
    binding.reset();
    arena = Memory();
    program.reset();
  }
};

class StateHandle : public Handle {
 public:
  StateHandle(Instance& instance, std::shared_ptr<State> state)
      : Handle(instance, HandleKind::kState), state(std::move(state)) {
    Account(this->state->footprint());
  }

  std::shared_ptr<State> state;

 protected:
  void Free() override { state.reset(); }
};

inline StateHandle& TakeState(Instance& instance, napi_value value) {
  return static_cast<StateHandle&>(Handle::Take(instance, value, HandleKind::kState));
}
inline ProgramHandle& TakeProgram(Instance& instance, napi_value value) {
  return static_cast<ProgramHandle&>(Handle::Take(instance, value, HandleKind::kProgram));
}

napi_value Describe(napi_env env, napi_callback_info info);
napi_value Threads(napi_env env, napi_callback_info info);
napi_value SetThreads(napi_env env, napi_callback_info info);
napi_value QuotaBelow(napi_env env, napi_callback_info info);
napi_value Permutations(napi_env env, napi_callback_info info);

napi_value EagerCall(napi_env env, napi_callback_info info);

napi_value CompileProgram(napi_env env, napi_callback_info info);
napi_value RunProgram(napi_env env, napi_callback_info info);
napi_value ReleaseProgram(napi_env env, napi_callback_info info);

napi_value CreateState(napi_env env, napi_callback_info info);
napi_value WriteState(napi_env env, napi_callback_info info);
napi_value ReadState(napi_env env, napi_callback_info info);
napi_value StateVersion(napi_env env, napi_callback_info info);
napi_value ReleaseState(napi_env env, napi_callback_info info);

}  // namespace wengert
