// JavaScript values as C++ sees them: numbers that are checked, typed arrays as spans.
#pragma once

#include <node_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../kernels/kernel.h"

namespace wengert {

// The arguments of one call. Lives on the stack; the few go without an allocation.
class Args {
 public:
  Args(napi_env env, napi_callback_info info);
  std::size_t count() const { return count_; }
  // The i-th, or undefined.
  napi_value operator[](std::size_t i) const { return i < count_ ? values_[i] : undefined_; }

 private:
  static constexpr std::size_t kFew = 24;
  std::array<napi_value, kFew> few_;
  std::vector<napi_value> many_;
  const napi_value* values_;
  std::size_t count_;
  napi_value undefined_ = nullptr;
};

// A typed array's memory, valid while the call that it was got in runs. `data` is never null.
struct Span {
  Dtype dtype;
  std::int64_t length;
  void* data;

  std::size_t bytes() const { return static_cast<std::size_t>(length) * SizeOf(dtype); }
};

// ERR_PROGRAM for anything but a typed array of the four types, ERR_DETACHED for one whose buffer was transferred away.
Span SpanOf(napi_env env, napi_value value, const char* what);
// The words that describe a call or a program: a Float64Array.
Span WordsOf(napi_env env, napi_value value);
// Whether the array lies over a SharedArrayBuffer.
bool IsShared(napi_env env, napi_value array);

bool IsUndefined(napi_env env, napi_value value);
// A number that is an integer in 0 … most; ERR_PROGRAM for anything else.
std::int64_t CountOf(napi_env env, napi_value value, const char* what, std::int64_t most);

}  // namespace wengert
