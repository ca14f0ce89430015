// SPDX-License-Identifier: Apache-2.0
// Where in a kernel something happened: the place of the call, taken through a default argument.
//
//   void __syncthreads(SIMT_WHERE);      inside, `where` is the caller's file, line and column
#pragma once
#include <cstdint>
#include <string>
#if !defined(__clang__)
#include <source_location>
#endif

namespace isda::emulator {

// NOTE: the column tells apart two barriers on one line.
struct Location {
  const char* file = "";
  std::uint32_t line = 0, column = 0;

  bool operator==(const Location&) const = default;
};

#if defined(__clang__)
#define SIMT_HERE \
  ::isda::emulator::Location { __builtin_FILE(), __builtin_LINE(), __builtin_COLUMN() }
#else
constexpr Location location_of(const std::source_location& source) { return {source.file_name(), source.line(), source.column()}; }
#define SIMT_HERE ::isda::emulator::location_of(std::source_location::current())
#endif
#define SIMT_WHERE const ::isda::emulator::Location& where = SIMT_HERE

// "kernels/linear/linear.cu:42"
inline std::string text_of(const Location& location) { return std::string(location.file) + ":" + std::to_string(location.line); }

}  // namespace isda::emulator
