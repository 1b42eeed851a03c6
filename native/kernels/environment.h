// Variables of the environment as process.env shows them.
#pragma once

#include <cstdlib>
#include <string>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#endif

namespace wengert {

// The value of a variable; empty where it is not set. On Windows getenv reads a copy that the C library made when it was
// loaded, which knows nothing of what JavaScript wrote since.
inline std::string Environment(const char* name) {
#if defined(_WIN32)
  char text[256];
  const DWORD size = GetEnvironmentVariableA(name, text, sizeof(text));
  return size < sizeof(text) ? std::string(text, size) : std::string();
#else
  const char* text = std::getenv(name);
  return text != nullptr ? text : "";
#endif
}

}  // namespace wengert
