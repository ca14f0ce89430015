// SPDX-License-Identifier: Apache-2.0
// The end of a residual block whose branches are shaken: y = shortcut + p[n] a + q[n] b. The factors p and q are drawn for each image; on the way back others
// are drawn, so that the gradient is not that of what was computed: it is disturbed on purpose.
//
//   two branches: Shake-Shake    forward p = alpha, q = 1 - alpha    backward beta, 1 - beta    alpha, beta ~ U[0,1)
//                                Gastaldi, Shake-Shake regularization, 2017; both drawn anew for each image: "S-S-I"
//   one branch: ShakeDrop        forward p = g + alpha - g alpha     backward g + beta - g beta    g ~ Bernoulli(survival), alpha ~ U[-1,1), beta ~ U[0,1)
//                                Yamada et al., ShakeDrop Regularization for Deep Residual Learning, 2019, equation 6; g is one draw for both ways.
//                                All three are an image's own; programs in use draw alpha and beta so, but g once for a whole batch
//   not shaken                   the expectations, both ways: p = q = 1/2;  p = survival. With a survival of 1 nothing is shaken in any case: y = shortcut + a
//
//   shortcut (N,H,W,C0), C0 <= C: channels from C0 on count as 0, the padded shortcut of Han et al., Deep Pyramidal Residual Networks, CVPR 2017
//   a, b, y (N,H,W,C), all of one type f32|bf16|f64; sums in f32 (reference: f64)
//   FLOP  2 an element and branch, forward 1 more for the shortcut     bytes  every array once; nothing is kept for the gradient
#pragma once
#include <cstdint>

#include "kernels/common/operation.h"
#include "kernels/common/philox.h"

namespace isda::kernels {

// What is drawn: a function of (seed, layer, step, image) alone.
struct ShakeRule {
  float survival = 1;  // of one branch: the probability that its image is left as it is, from 0 to 1; of two branches none survives
  std::uint64_t seed = 0;
  std::uint32_t layer = 0;  // tells apart the blocks of one network
  bool is_shaken = true;    // false: the expectations
};

struct Shake {
  static constexpr auto name = "shake";
  ConstView shortcut;   // (N,H,W,C0)
  ConstView a;          // (N,H,W,C)
  ConstView b = {};     // (N,H,W,C), optional: with it Shake-Shake, without it ShakeDrop
  ConstView step = {};  // (1) i32, the training step, in device memory; needed where something is drawn
  ShakeRule rule = {};
  View y;  // (N,H,W,C), overwritten
};
ISDA_OPERATION(Shake);

struct ShakeBackward {
  static constexpr auto name = "shake_backward";
  ConstView dy;         // (N,H,W,C)
  ConstView step = {};  // as the forward pass saw it
  ShakeRule rule = {};
  View da;              // (N,H,W,C), overwritten
  View db = {};         // (N,H,W,C), overwritten; given as b was
  View dshortcut = {};  // (N,H,W,C0), overwritten, optional: the first C0 channels of dy; with C0 = C it is dy itself
};
ISDA_OPERATION(ShakeBackward);

struct ShakeFactors {
  float a, b;
};
enum class ShakePass : std::uint8_t { forward, backward };

// Whether anything is drawn.
constexpr bool is_drawn(const ShakeRule& rule, bool has_two) { return rule.is_shaken && (has_two || rule.survival < 1); }

// The training step at hand, for a host; 0 where nothing is drawn and no step need be given.
inline std::uint32_t drawn_step(const ShakeRule& rule, bool has_two, const ConstView& step) {
  return is_drawn(rule, has_two) ? static_cast<std::uint32_t>(step.as<std::int32_t>()[0]) : 0;
}

// p and q of an image. NOTE: a drawn float is a multiple of 2^-24, so that 1 - alpha and 2 alpha - 1 are exact.
constexpr ShakeFactors shake_factors(const ShakeRule& rule, bool has_two, ShakePass pass, std::uint32_t step, std::uint64_t image) {
  if (!is_drawn(rule, has_two)) return has_two ? ShakeFactors{0.5f, 0.5f} : ShakeFactors{rule.survival, 0};
  const PhiloxCounter words = philox(rule.seed, RandomStream::shake, std::uint64_t{rule.layer} << 32 | step, image);
  const float drawn = uniform_float(words[pass == ShakePass::forward ? 0 : 1]);
  if (has_two) return {drawn, 1 - drawn};
  if (uniform_float(words[2]) < rule.survival) return {1, 0};
  return {pass == ShakePass::forward ? 2 * drawn - 1 : drawn, 0};
}

}  // namespace isda::kernels
