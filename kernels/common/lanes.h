// SPDX-License-Identifier: Apache-2.0
// Vector registers of floats on the cpu device, and loops over channels in strips that fill a few of them.
//
//   for_strips(C, [=]<class V, int count>(std::int64_t c) {   // V: Lanes, or float for the last channels; `count` of them a strip
//     V sum[count]{};
//     for (std::int64_t m = 0; m < rows; ++m) {
//       for (int v = 0; v < count; ++v) sum[v] += load<V>(x + m * C + c, v);
//     }
//     for (int v = 0; v < count; ++v) store(y + c, v, sum[v]);
//   });
#pragma once
#include <cstdint>

namespace isda {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

// A vector register of floats, loaded and stored at any address that suits a float.
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float)), aligned(alignof(float)), may_alias));

template <class V>
constexpr std::int64_t lanes_of = sizeof(V) / sizeof(float);

// Register number v of an array.
template <class V>
inline V load(const float* from, std::int64_t v) {
  return *reinterpret_cast<const V*>(from + v * lanes_of<V>);
}
template <class V>
inline void store(float* to, std::int64_t v, const V& value) {
  *reinterpret_cast<V*>(to + v * lanes_of<V>) = value;
}
// Calls body<V, count>(c) for strips of consecutive channels that cover [0, channels).
template <class Body>
void for_strips(std::int64_t channels, Body&& body) {
  std::int64_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) body.template operator()<Lanes, 4>(c);
  for (; c + 2 * kLanes <= channels; c += 2 * kLanes) body.template operator()<Lanes, 2>(c);
  for (; c + kLanes <= channels; c += kLanes) body.template operator()<Lanes, 1>(c);
  for (; c < channels; ++c) body.template operator()<float, 1>(c);
}

}  // namespace isda
