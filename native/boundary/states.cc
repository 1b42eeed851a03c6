// The state block as JavaScript uses it.
#include "../program/state.h"
#include "boundary.h"
#include "errors.h"
#include "values.h"

namespace wengert {

namespace {

// The offset of a copy of `bytes` inside the block.
std::size_t OffsetOf(napi_env env, napi_value value, const State& state, std::size_t bytes) {
  if (bytes > state.bytes()) {
    Malform("state", "no more than its " + std::to_string(state.bytes()) + " bytes", std::to_string(bytes));
  }
  return static_cast<std::size_t>(
      CountOf(env, value, "state (an offset)", static_cast<std::int64_t>(state.bytes() - bytes)));
}

}  // namespace

napi_value CreateState(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    const std::size_t bytes = static_cast<std::size_t>(CountOf(env, args[0], "state (its bytes)", kLargestInteger));
    const Span words = WordsOf(env, args[1]);
    auto state =
        std::make_shared<State>(bytes, static_cast<const double*>(words.data), static_cast<std::size_t>(words.length));
    return Handle::Give(env, std::make_unique<StateHandle>(Instance::Of(env), std::move(state)));
  });
}

napi_value WriteState(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    State& state = *TakeState(Instance::Of(env), args[0]).state;
    if (state.busy()) {
      throw Coded("ERR_BUSY", "state: expected to write while no runner works on it, got a write during one");
    }
    const Span source = SpanOf(env, args[2], "state");
    state.Write(OffsetOf(env, args[1], state, source.bytes()), source.data, source.bytes());
    return nullptr;
  });
}

napi_value ReadState(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    State& state = *TakeState(Instance::Of(env), args[0]).state;
    const Span target = SpanOf(env, args[2], "state");
    state.Read(OffsetOf(env, args[1], state, target.bytes()), target.data, target.bytes());
    return nullptr;
  });
}

napi_value StateVersion(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    napi_value version;
    Check(env, napi_create_double(env, static_cast<double>(TakeState(Instance::Of(env), args[0]).state->version()),
                                  &version));
    return version;
  });
}

}  // namespace wengert
