// SPDX-License-Identifier: Apache-2.0
// The one exception of the project, and the two ways to throw it.
//
// A message names the operation or file in brackets, what was got, what was expected and what to do:
//   require(y.shape == expected, "[linear] y is {}, expected {}: (N,C) of x {}", ...);
#pragma once
#include <fmt/core.h>

#include <stdexcept>
#include <utility>

namespace isda {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <class... Arguments>
[[noreturn]] void fail(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  throw Error(fmt::format(format, std::forward<Arguments>(arguments)...));
}

// Throws Error unless `holds`; the message is formatted only then.
template <class... Arguments>
void require(bool holds, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (!holds) [[unlikely]]
    fail(format, std::forward<Arguments>(arguments)...);
}

}  // namespace isda
