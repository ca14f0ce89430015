// SPDX-License-Identifier: Apache-2.0
// Files for tests of readers and writers, and the message of an error.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "kernels/common/error.h"
#include "tests/core/temporary_folder.h"

namespace isda {

inline void write_text(const std::filesystem::path& file, const std::string& text) {
  std::ofstream stream(file, std::ios::binary);
  stream << text;
  require(static_cast<bool>(stream), "[test] {} cannot be written", file.string());
}

inline std::string read_text(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  require(stream.is_open(), "[test] {} cannot be read", file.string());
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// What the Error that `body` throws says; empty when it throws none.
template <class Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// EXPECT_PRED2(contains, text, part)
inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace isda
