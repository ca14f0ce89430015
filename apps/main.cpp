// SPDX-License-Identifier: Apache-2.0
// The program. Exit status: 0 success, 1 an error of the run, 2 wrong usage, or what a command returns; an error is one line on stderr.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <new>

#include "apps/command_line.h"

namespace {

enum Status { kSuccess = 0, kRunError = 1, kUsageError = 2 };

int report(const isda::CommandLine& line, std::string message, Status status) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fflush(stdout);
  fmt::print(stderr, "{}: {}\n", line.reached(), message);
  return status;
}

}  // namespace

int main(int count, char** words) {
  isda::CommandLine line(isda::all_commands());
  try {
    line.parse({words + 1, words + count});
    const int status = line.run();
    // What could not be printed was not done.
    std::cout.flush();
    isda::require(std::fflush(stdout) == 0 && !std::ferror(stdout) && std::cout.good(), "the standard output could not be written");
    return status;
  } catch (const isda::UsageError& error) {
    return report(line, error.what(), kUsageError);
  } catch (const std::bad_alloc&) {
    return report(line, "out of memory", kRunError);
  } catch (const std::exception& error) {
    return report(line, error.what(), kRunError);
  }
}
