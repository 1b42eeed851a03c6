#include "errors.h"

#include <cmath>
#include <cstdio>
#include <new>

namespace wengert {

namespace {

napi_value MakeError(napi_env env, const char* code, const char* message) noexcept {
  napi_value text;
  napi_value name;
  napi_value error;
  if (napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text) != napi_ok) return nullptr;
  if (napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &name) != napi_ok) return nullptr;
  if (napi_create_error(env, name, text, &error) != napi_ok) return nullptr;
  return error;
}

void SetNumber(napi_env env, napi_value error, const char* name, const std::optional<double>& number) noexcept {
  napi_value value;
  if (number && napi_create_double(env, *number, &value) == napi_ok) napi_set_named_property(env, error, name, value);
}

}  // namespace

Coded IndexError(const std::string& where, const BadIndex& bad) {
  const std::string expected =
      bad.size > 0 ? "an index in 0 … " + std::to_string(bad.size - 1) : "no index into an empty axis";
  char got[32];
  const bool whole = bad.value == std::floor(bad.value);
  std::snprintf(got, sizeof(got), whole && std::fabs(bad.value) < 1e15 ? "%.0f" : "%.9g", bad.value);
  const char* const code = whole ? "ERR_INDEX" : "ERR_RANGE";
  Coded error(code, where + ": expected " + expected + ", got " + got + " at position " + std::to_string(bad.position));
  error.expected = static_cast<double>(bad.size);
  error.actual = bad.value;
  return error;
}

napi_value CurrentError(napi_env env) {
  try {
    throw;
  } catch (const Napi::Error& error) {
    return error.Value();
  } catch (const Coded& error) {
    const napi_value made = MakeError(env, error.code(), error.what());
    if (made != nullptr) {
      SetNumber(env, made, "expected", error.expected);
      SetNumber(env, made, "actual", error.actual);
    }
    return made;
  } catch (const Malformed& error) {
    return MakeError(env, "ERR_PROGRAM", error.what());
  } catch (const std::bad_alloc&) {
    return MakeError(env, "ERR_MEMORY", "native: out of memory");
  } catch (const std::length_error&) {
    return MakeError(env, "ERR_MEMORY", "native: the size asked for is larger than any memory");
  } catch (const std::exception& error) {
    return MakeError(env, "ERR_PROGRAM", error.what());
  } catch (...) {
    return MakeError(env, "ERR_PROGRAM", "native: an unknown exception");
  }
}

}  // namespace wengert
