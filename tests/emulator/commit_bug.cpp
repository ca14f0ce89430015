// SPDX-License-Identifier: Apache-2.0
// Commits one of the seeded bugs and says what was noticed: by the emulated card, by a wrong value, or, killing this program, by a sanitizer.
//
//   commit_bug NAME                 under the ten schedules of every test: forward, reverse, eight of pct
//   commit_bug NAME ORDER [SEED]    under one: forward, reverse, random, pct
//   commit_bug --list | --mode      the names of the bugs; what the program is compiled for: plain, address, thread, memory
//   commit_bug --are NAME...        whether these are all bugs there are
//
// Exit status: 0 nothing was noticed, 1 something was, 2 wrong usage.
#include <cstdlib>
#include <set>
#include <string>

#include "kernels/common/error.h"
#include "kernels/emulator/emulator.h"
#include "tests/emulator/seeded_bugs.h"
#include "tests/kernels/emulated_orders.h"

namespace isda::seeded {
namespace {

#if defined(ISDA_EMULATOR_ADDRESS)
constexpr auto kMode = "address";
#elif defined(ISDA_EMULATOR_THREAD)
constexpr auto kMode = "thread";
#elif defined(ISDA_EMULATOR_MEMORY)
constexpr auto kMode = "memory";
#else
constexpr auto kMode = "plain";
#endif

bool is_noticed(const Bug& bug, const std::string& schedule) {
  std::string story;
  try {
    story = bug.commit(false);
  } catch (const Error& error) {
    story = std::string("report: ") + error.what();
  }
  emulator::reset_device();
  fmt::print("{}: {}\n", schedule, story.empty() ? "nothing noticed" : story);
  return !story.empty();
}

int commit(const Bug& bug) {
  int noticed = 0, schedules = 0;
  for_each_order([&](const std::string& order) {
    ++schedules;
    noticed += is_noticed(bug, order);
  });
  fmt::print("noticed under {} of {} schedules\n", noticed, schedules);
  return noticed > 0;
}

int commit(const Bug& bug, const std::string& order, const char* seed) {
  using emulator::Order;
  emulator::options().order = order == "reverse" ? Order::reverse : order == "random" ? Order::random : order == "pct" ? Order::pct : Order::forward;
  if (seed) emulator::options().seed = std::strtoull(seed, nullptr, 10);
  return is_noticed(bug, order);
}

// What one of the two lists lacks of the other is printed.
int compare_names(std::set<std::string> expected) {
  int status = 0;
  for (const Bug& bug : all_bugs()) {
    if (expected.erase(bug.name)) continue;
    fmt::print("nothing is expected of {}\n", bug.name);
    status = 1;
  }
  for (const std::string& name : expected) fmt::print("there is no bug {}\n", name);
  return expected.empty() ? status : 1;
}

int main(int argc, char** argv) {
  const Strictly strictly;
  const std::string argument = argc > 1 ? argv[1] : "";
  if (argument == "--mode") {
    fmt::print("{}\n", kMode);
    return 0;
  }
  if (argument == "--are") return compare_names({argv + 2, argv + argc});
  for (const Bug& bug : all_bugs()) {
    if (argument == "--list") fmt::print("{}\n", bug.name);
    if (argument == bug.name) return argc > 2 ? commit(bug, argv[2], argc > 3 ? argv[3] : nullptr) : commit(bug);
  }
  if (argument == "--list") return 0;
  fmt::print(stderr, "commit_bug: no bug \"{}\"; --list names them\n", argument);
  return 2;
}

}  // namespace
}  // namespace isda::seeded

int main(int argc, char** argv) { return isda::seeded::main(argc, argv); }
