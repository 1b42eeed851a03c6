#include "values.h"

#include <cmath>
#include <string>

#include "../program/words.h"
#include "errors.h"

namespace wengert {

Args::Args(napi_env env, napi_callback_info info) {
  std::size_t count = kFew;
  Check(env, napi_get_cb_info(env, info, &count, few_.data(), nullptr, nullptr));
  values_ = few_.data();
  if (count > kFew) {
    many_.resize(count);
    Check(env, napi_get_cb_info(env, info, &count, many_.data(), nullptr, nullptr));
    values_ = many_.data();
  }
  count_ = count;
  Check(env, napi_get_undefined(env, &undefined_));
}

Span SpanOf(napi_env env, napi_value value, const char* what) {
  // Kernels are never given a null pointer, however short the operand.
  alignas(64) static char nothing[64];
  napi_typedarray_type type;
  std::size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    Malform(what, "a typed array", "something else");
  }
  Span span;
  switch (type) {
    case napi_float32_array: span.dtype = Dtype::kFloat32; break;
    case napi_float64_array: span.dtype = Dtype::kFloat64; break;
    case napi_int32_array: span.dtype = Dtype::kInt32; break;
    case napi_uint8_array: span.dtype = Dtype::kBool; break;
    default: Malform(what, "a Float32Array, Float64Array, Int32Array or Uint8Array", "a typed array of another kind");
  }
  span.length = static_cast<std::int64_t>(length);
  span.data = length > 0 && data != nullptr ? data : nothing;
  if (length == 0) {
    napi_value buffer;
    bool detached = false;
    const bool known = napi_get_typedarray_info(env, value, nullptr, nullptr, nullptr, &buffer, nullptr) == napi_ok &&
                       napi_is_detached_arraybuffer(env, buffer, &detached) == napi_ok;
    if (known && detached) {
      throw Coded("ERR_DETACHED",
                  std::string(what) + ": the array has no memory any more: its buffer was transferred; keep a copy");
    }
  }
  return span;
}

Span WordsOf(napi_env env, napi_value value) {
  const Span span = SpanOf(env, value, "words");
  if (span.dtype != Dtype::kFloat64) Malform("words", "a Float64Array", "a typed array of another kind");
  return span;
}

bool IsShared(napi_env env, napi_value array) {
  napi_value buffer;
  bool plain = false;
  Check(env, napi_get_typedarray_info(env, array, nullptr, nullptr, nullptr, &buffer, nullptr));
  Check(env, napi_is_arraybuffer(env, buffer, &plain));
  return !plain;
}

bool IsUndefined(napi_env env, napi_value value) {
  napi_valuetype type;
  Check(env, napi_typeof(env, value, &type));
  return type == napi_undefined;
}

std::int64_t CountOf(napi_env env, napi_value value, const char* what, std::int64_t most) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) Malform(what, "a number", "something else");
  if (!(number >= 0 && number <= static_cast<double>(most)) || number != std::floor(number)) {
    Malform(what, "an integer in 0 … " + std::to_string(most), TextOf(number));
  }
  return static_cast<std::int64_t>(number);
}

}  // namespace wengert
