// What every Prepare checks: counts, integers, exact products, element types and lengths. The limits are those of the
// other engine (safe integers), so that both refuse the same calls. Never used while running.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "kernel.h"

namespace wengert {

constexpr std::int64_t kSafe = 9007199254740991;  // 2^53 - 1

[[noreturn]] inline void Refuse(const std::string& op, const std::string& expected, const std::string& got) {
  throw Malformed(op + ": expected " + expected + ", got " + got);
}
[[noreturn]] inline void Refuse(const std::string& op, const std::string& expected, std::int64_t got) {
  Refuse(op, expected, std::to_string(got));
}

inline const char* NameOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kFloat32: return "float32";
    case Dtype::kFloat64: return "float64";
    case Dtype::kInt32: return "int32";
    default: return "bool";
  }
}

inline bool IsFloat(Dtype dtype) { return dtype == Dtype::kFloat32 || dtype == Dtype::kFloat64; }

inline void CheckCounts(const char* op, const Call& call, std::size_t outputs, std::size_t inputs) {
  if (call.output_count != outputs) {
    Refuse(op, std::to_string(outputs) + " outputs", static_cast<std::int64_t>(call.output_count));
  }
  if (call.input_count != inputs) {
    Refuse(op, std::to_string(inputs) + " inputs", static_cast<std::int64_t>(call.input_count));
  }
}

// The call's integers, `count` of them (at least, where `more`), each a safe integer.
inline const std::int64_t* CheckInts(const char* op, const Call& call, std::size_t count, bool more = false) {
  if (more ? call.int_count < count : call.int_count != count) {
    Refuse(op, std::to_string(count) + (more ? " or more integers" : " integers"),
           static_cast<std::int64_t>(call.int_count));
  }
  for (std::size_t i = 0; i < call.int_count; i++) {
    if (call.ints[i] > kSafe || call.ints[i] < -kSafe) Refuse(op, "safe integers", call.ints[i]);
  }
  return call.ints;
}

// As CheckInts, none of them negative.
inline const std::int64_t* CheckDims(const char* op, const Call& call, std::size_t count) {
  CheckInts(op, call, count);
  for (std::size_t i = 0; i < count; i++) {
    if (call.ints[i] < 0) Refuse(op, "dimensions of 0 or more", call.ints[i]);
  }
  return call.ints;
}

inline const double* CheckScalars(const char* op, const Call& call, std::size_t count) {
  if (call.scalar_count != count) {
    Refuse(op, std::to_string(count) + " scalars", static_cast<std::int64_t>(call.scalar_count));
  }
  return call.scalars;
}

// The product of non-negative dimensions, refused where it is no safe integer.
inline std::int64_t Volume(const char* op, std::initializer_list<std::int64_t> dims) {
  for (std::int64_t dim : dims) {
    if (dim == 0) return 0;
  }
  std::int64_t product = 1;
  for (std::int64_t dim : dims) {
    if (dim > kSafe / product) Refuse(op, "dimensions with an exact product", dim);
    product *= dim;
  }
  return product;
}

enum class Kind { kFloat, kNumber, kAny, kFloat32, kFloat64, kInt32, kBool };

inline Kind Exactly(Dtype dtype) {
  switch (dtype) {
    case Dtype::kFloat32: return Kind::kFloat32;
    case Dtype::kFloat64: return Kind::kFloat64;
    case Dtype::kInt32: return Kind::kInt32;
    default: return Kind::kBool;
  }
}

inline bool Fits(Dtype dtype, Kind kind) {
  switch (kind) {
    case Kind::kAny: return true;
    case Kind::kFloat: return IsFloat(dtype);
    case Kind::kNumber: return dtype != Dtype::kBool;
    default: return Exactly(dtype) == kind;
  }
}

inline const char* NameOf(Kind kind) {
  switch (kind) {
    case Kind::kFloat: return "float32 or float64";
    case Kind::kNumber: return "float32, float64 or int32";
    case Kind::kFloat32: return "float32";
    case Kind::kFloat64: return "float64";
    case Kind::kInt32: return "int32";
    case Kind::kBool: return "bool";
    default: return "any type";
  }
}

inline Dtype CheckOperand(const char* op, const char* name, const Operand& operand, Kind kind, std::int64_t length) {
  if (!Fits(operand.dtype, kind)) Refuse(op, std::string(name) + " of type " + NameOf(kind), NameOf(operand.dtype));
  if (operand.length != length) {
    Refuse(op, std::string(name) + " of " + std::to_string(length) + " elements", operand.length);
  }
  return operand.dtype;
}

// One read of an index that another thread may be changing: what is checked is what is used.
inline std::int32_t LoadIndex(const std::int32_t* index) { return __atomic_load_n(index, __ATOMIC_RELAXED); }

}  // namespace wengert
