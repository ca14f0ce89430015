// SPDX-License-Identifier: Apache-2.0
// expect_error([&] { ... }, "part of the message"): the body must throw an isda::Error that says so.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "kernels/common/error.h"

namespace isda {

template <class Body>
void expect_error(Body&& body, const std::string& part) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << "the message is \"" << error.what() << "\", expected in it \"" << part << '"';
    return;
  }
  ADD_FAILURE() << "no Error was thrown, expected one that says \"" << part << '"';
}

}  // namespace isda
