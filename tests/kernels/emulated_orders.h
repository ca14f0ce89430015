// SPDX-License-Identifier: Apache-2.0
// The schedules that everything on the cuda device is tested under where that is the emulated card: forward, reverse and eight random ones by
// priorities. On a real card there is one schedule, the card's.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#if defined(ISDA_EMULATED)
#include "kernels/emulator/emulator.h"
#endif

namespace isda {

// Which sanitizer the kernels are compiled with. NOTE: what they look for hardly depends on the order of threads, and they take many times as long.
#if defined(ISDA_EMULATOR_THREAD)
inline constexpr bool kSeesThreads = true, kIsSanitized = true;
#elif defined(ISDA_EMULATOR_ADDRESS) || defined(ISDA_EMULATOR_MEMORY)
inline constexpr bool kSeesThreads = false, kIsSanitized = true;
#else
inline constexpr bool kSeesThreads = false, kIsSanitized = false;
#endif

// While one lives, the emulated card also reports what a card allows and no kernel of the house does (kernels/emulator/emulator.h).
class Strictly {
 public:
#if defined(ISDA_EMULATED)
  Strictly() { emulator::options().is_strict = true; }
  ~Strictly() { emulator::options().is_strict = before_; }
#else
  Strictly() {}
#endif
  Strictly(const Strictly&) = delete;
  Strictly& operator=(const Strictly&) = delete;

#if defined(ISDA_EMULATED)
 private:
  bool before_ = emulator::options().is_strict;
#endif
};

// While one lives, threads, blocks and deferred streams go in reverse.
class InReverse {
 public:
#if defined(ISDA_EMULATED)
  InReverse() {
    emulator::options().order = emulator::Order::reverse;
    emulator::options().deferred_streams = true;
  }
  ~InReverse() { emulator::options() = before_; }
#else
  InReverse() {}
#endif
  InReverse(const InReverse&) = delete;
  InReverse& operator=(const InReverse&) = delete;

#if defined(ISDA_EMULATED)
 private:
  const emulator::Options before_ = emulator::options();
#endif
};

// Calls body(name of the schedule) under each; of the random ones under so many.
template <class Body>
void for_each_order(Body&& body, [[maybe_unused]] std::uint64_t seeds = 8) {
#if defined(ISDA_EMULATED)
  const emulator::Options before = emulator::options();
  const auto under = [&](emulator::Order order, std::uint64_t seed, bool has_deferred_streams, const std::string& name) {
    emulator::options().order = order;
    emulator::options().seed = seed;
    emulator::options().deferred_streams = has_deferred_streams;
    body(name);
  };
  under(emulator::Order::forward, 1, false, "forward");
  under(emulator::Order::reverse, 1, true, "reverse, deferred streams");
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) under(emulator::Order::pct, seed, seed % 2 == 0, "pct, seed " + std::to_string(seed));
  emulator::options() = before;
#else
  body("the card");
#endif
}

}  // namespace isda
