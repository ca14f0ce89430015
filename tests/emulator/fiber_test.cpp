// SPDX-License-Identifier: Apache-2.0
// Fibers: what survives a switch, how large a stack is, and starting again. Compiled a second time with ucontext in the place of our own switch.
#include "kernels/emulator/fiber.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace isda::emulator {
namespace {

constexpr std::size_t kStack = 64 * 1024;

// A fiber with a body, switched to and from by the test. NOTE: the token tells ThreadSanitizer that one runs after the other.
class Routine {
 public:
  explicit Routine(void (*body)(Routine&), unsigned colour = 0) : body_(body) {
    create(fiber, kStack);
    begin(colour);
  }
  ~Routine() { abandon(fiber); }
  Routine(const Routine&) = delete;
  Routine& operator=(const Routine&) = delete;

  void begin(unsigned colour = 0) {
    is_over = false;
    prepare(fiber, entry, colour);
  }
  // From the test into the body, until that yields or ends.
  void resume() {
    adopt_thread(host);
    running = this;
    sanitizer::release(&token);
    switch_fiber(host, fiber);
    sanitizer::acquire(&token);
  }
  // From the body back to the test.
  void yield() {
    sanitizer::release(&token);
    switch_fiber(fiber, host);
    sanitizer::acquire(&token);
  }

  Fiber fiber, host;
  bool is_over = false;
  std::string log;
  std::int64_t number = 0;

 private:
  static void entry() {
    sanitizer::arrive(nullptr);
    sanitizer::acquire(&token);
    Routine& self = *running;
    self.body_(self);
    self.is_over = true;
    sanitizer::release(&token);
    switch_fiber(self.fiber, self.host, true);
    __builtin_trap();
  }

  static inline Routine* running = nullptr;
  static inline sanitizer::Token token{};
  void (*body_)(Routine&);
};

TEST(Fiber, GoesBackAndForth) {
  Routine routine([](Routine& self) {
    for (const char* word : {"one ", "two ", "three "}) {
      self.log += word;
      self.yield();
    }
  });
  for (const char* said : {"one ", "one two ", "one two three "}) {
    routine.resume();
    EXPECT_EQ(routine.log, said);
    EXPECT_FALSE(routine.is_over);
  }
  routine.resume();
  EXPECT_TRUE(routine.is_over);
}

TEST(Fiber, BeginsAgainOnAnEmptyStack) {
  Routine routine([](Routine& self) { self.number += 1; });
  for (int turn = 1; turn <= 3; ++turn) {
    routine.begin(static_cast<unsigned>(turn));
    routine.resume();
    EXPECT_TRUE(routine.is_over);
    EXPECT_EQ(routine.number, turn);
  }
}

// More values than registers that a function must keep, integers and floating point, in use before and after each switch.
std::int64_t mixed(std::int64_t seed, Routine* yielding) {
  std::int64_t a = seed, b = seed * 3 + 1, c = seed ^ 0x55, d = seed << 3, e = ~seed, f = seed * seed, g = 7 - seed, h = seed + 11;
  double x = static_cast<double>(seed) * 0.5, y = x + 1, z = x * y;
  for (int turn = 0; turn < 10; ++turn) {
    if (yielding) yielding->yield();
    a += b ^ c;
    b = d - e + a;
    c = f * 5 + g;
    d ^= h + turn;
    e += a - d;
    f -= b;
    g += c & e;
    h = h * 3 + g;
    x += y * 0.25;
    y = z - x;
    z = z * 0.5 + x;
  }
  return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ static_cast<std::int64_t>(x * 16) ^ static_cast<std::int64_t>(y * 16) ^ static_cast<std::int64_t>(z * 16);
}

TEST(Fiber, LocalsAndRegistersSurvive) {
  std::vector<std::unique_ptr<Routine>> routines;
  for (int i = 0; i < 200; ++i) {
    routines.push_back(std::make_unique<Routine>([](Routine& self) { self.number = mixed(self.number, &self); }, static_cast<unsigned>(i)));
    routines.back()->number = i;
  }
  for (bool is_any_left = true; is_any_left;) {
    is_any_left = false;
    for (auto& routine : routines) {
      if (routine->is_over) continue;
      routine->resume();
      is_any_left = true;
    }
  }
  for (int i = 0; i < 200; ++i) EXPECT_EQ(routines[static_cast<std::size_t>(i)]->number, mixed(i, nullptr)) << i;
}

TEST(Fiber, StackIsAlignedWhateverItsColour) {
  for (unsigned colour = 0; colour < 130; ++colour) {
    Routine routine(
        [](Routine& self) {
          alignas(16) char aligned[16];
          auto address = reinterpret_cast<std::uintptr_t>(aligned);
          asm volatile("" : "+r"(address) : : "memory");
          self.number = static_cast<std::int64_t>(address % 16);
        },
        colour);
    routine.resume();
    ASSERT_EQ(routine.number, 0) << colour;
  }
}

TEST(Fiber, ExceptionsAreCaughtOnTheirOwnStack) {
  Routine routine([](Routine& self) {
    try {
      self.yield();
      throw std::runtime_error("thrown on a fiber");
    } catch (const std::exception& error) {
      self.log = error.what();
    }
  });
  routine.resume();
  routine.resume();
  EXPECT_EQ(routine.log, "thrown on a fiber");
}

// Uses the stack, about a kilobyte a call.
int descend(int depth) {
  volatile char room[1000];
  room[0] = static_cast<char>(depth);
  return depth > 0 ? descend(depth - 1) + room[0] : room[0];
}

TEST(Fiber, StackHoldsFortyKilobytes) {
  // NOTE: a sanitizer's frames are larger, and come in addition.
  Routine routine([](Routine& self) { self.number = descend(30); });
  routine.resume();
  EXPECT_TRUE(routine.is_over);
}

TEST(FiberDeathTest, OverflowOfTheStackIsAFault) {
#if defined(ISDA_EMULATOR_ADDRESS) || defined(ISDA_EMULATOR_THREAD) || defined(ISDA_EMULATOR_MEMORY)
  GTEST_SKIP() << "a sanitizer handles the signal itself";
#else
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  Routine routine([](Routine& self) { self.number = descend(1000); });
  EXPECT_EXIT(routine.resume(), testing::KilledBySignal(SIGSEGV), "");
#endif
}

TEST(Fiber, CanBeLeftInTheMiddle) {
  Routine routine([](Routine& self) {
    volatile char room[1000];
    room[0] = 1;
    self.yield();
    self.number = room[0];
  });
  for (int turn = 0; turn < 3; ++turn) {
    routine.resume();
    EXPECT_EQ(routine.number, 0);
    abandon(routine.fiber);
    routine.begin();
  }
}

}  // namespace
}  // namespace isda::emulator
