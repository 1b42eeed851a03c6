// The state block as JavaScript uses it.
#include <vector>

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

napi_value VersionOf(napi_env env, std::uint64_t version) {
  napi_value value;
  Check(env, napi_create_double(env, static_cast<double>(version), &value));
  return value;
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
      throw Coded("ERR_BUSY", "state: cannot write while a runner is working on it; wait until it has ended");
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
    std::uint32_t count = 0;
    if (napi_get_array_length(env, args[1], &count) != napi_ok) {
      Malform("state", "an array of offsets and targets in turn", "something else");
    }
    // All elements are fetched before any memory is looked up: to fetch one may run code that transfers a buffer away.
    std::vector<napi_value> elements;
    for (std::uint32_t i = 0; i < count; i++) {
      napi_value element;
      Check(env, napi_get_element(env, args[1], i, &element));
      // A list may claim to be as long as it likes.
      if (IsUndefined(env, element)) Malform("state", "an offset and a target in turn", "a list with a hole");
      elements.push_back(element);
    }
    if (count % 2 != 0) Malform("state", "an offset and a target in turn", "an odd number of them");
    std::vector<State::Copy> copies;
    for (std::size_t i = 0; i < count; i += 2) {
      const Span span = SpanOf(env, elements[i + 1], "state");
      copies.push_back({OffsetOf(env, elements[i], state, span.bytes()), span.data, span.bytes()});
    }
    return VersionOf(env, state.Read(copies));
  });
}

napi_value StateVersion(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    return VersionOf(env, TakeState(Instance::Of(env), args[0]).state->version());
  });
}

napi_value ReleaseState(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    TakeState(Instance::Of(env), args[0]).Release();
    return nullptr;
  });
}

}  // namespace wengert
