// SPDX-License-Identifier: Apache-2.0
// Philox-4x32-10: random numbers as a function of (key, counter), with no state to carry.
//
// Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011. Ten rounds of two 32x32->64 bit products.
// Whoever computes number i of a stream gets the same bits: threads, devices and a resumed run agree.
#pragma once
#include <array>
#include <cstdint>

namespace isda {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

// NOTE: plain words and unrolled rounds, so that a loop over counters is vectorised.
constexpr PhiloxCounter philox(const PhiloxCounter& counter, const PhiloxKey& key) {
  std::uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(b);
    c2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(a);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

// What a random number is used for: numbers of different uses never meet.
enum class RandomStream : std::uint32_t {
  initialisation = 1,
  shuffle = 2,
  augmentation = 3,
  dropout = 4,
  dataset = 5,
  test = 6,
  isda = 7,
  shake = 8,
  policy = 9,
  cutout = 10,
  mixing = 11,
  resized_crop = 12
};

// Four words keyed by (seed, stream), at position (a, b) of it: e.g. (epoch, sample index).
constexpr PhiloxCounter philox(std::uint64_t seed, RandomStream stream, std::uint64_t a, std::uint64_t b) {
  const PhiloxKey key{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32) ^ (static_cast<std::uint32_t>(stream) * 0x85EBCA6Bu)};
  return philox({static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(b >> 32), static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(a >> 32)}, key);
}

// A float in [0, 1), from the upper 24 bits.
constexpr float uniform_float(std::uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

// An integer in [0, count), without the bias of a remainder beyond count / 2^32.
constexpr std::uint32_t uniform_below(std::uint32_t word, std::uint32_t count) { return static_cast<std::uint32_t>((std::uint64_t{word} * count) >> 32); }

}  // namespace isda
