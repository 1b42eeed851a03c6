// How C++ says no to JavaScript: every exception that leaves a function of the addon becomes a JavaScript error with a
// `code`, and nothing else ever leaves it.
#pragma once

#include <napi.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "../kernels/kernel.h"

namespace wengert {

// An error with a code of lib/errors.ts, and what was expected and found where they are numbers.
class Coded : public std::runtime_error {
 public:
  Coded(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const { return code_; }

  std::optional<double> expected;
  std::optional<double> actual;

 private:
  const char* code_;
};

// ERR_INDEX: `where` names the kernel, and the step where there is one.
Coded IndexError(const std::string& where, const BadIndex& bad);

// The JavaScript error for an exception; to be called within a catch block.
napi_value CurrentError(napi_env env);

// Runs the body of a function of the addon.
template <class Body>
napi_value Guard(napi_env env, Body&& body) noexcept {
  try {
    return body();
  } catch (...) {
    // Fails only where the environment is going down; then there is nobody left to be told.
    const napi_value error = CurrentError(env);
    if (error != nullptr) napi_throw(env, error);
    return nullptr;
  }
}

// Turns a status that means trouble into an exception.
inline void Check(napi_env env, napi_status status) {
  if (status != napi_ok) throw Napi::Error::New(env);
}

}  // namespace wengert
