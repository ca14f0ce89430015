// SPDX-License-Identifier: Apache-2.0
// Implicit semantic data augmentation: running class statistics, and the logits and gradients of the loss
// that bounds the expected cross-entropy over features drawn from Normal(a_i, ratio S_{y_i}).
// Wang et al., Implicit Semantic Data Augmentation for Deep Networks, NeurIPS 2019; the per-class form below computes the same numbers.
//
//   features F (N,A) f32|bf16|f64   labels y (N) i32 in [0,C)   weight W (C,A)   bias b (C)   ratio (1), in device memory
//   count n (C)   mean mu (C,A)   covariance S (C,A,A) full, (C,A) diagonal, or (C,1+R,A) low rank: the diagonal and R directions (low_rank.h)
//   Everything but the features, dfeatures and the integers is of the parameter type: f32, or f64 with f64 features.
//   Present classes: those with a label in the batch; there are K <= min(N,C) of them.
//
// Update, for each present class c with m samples in the batch, their mean nu, w = m / (n_c + m):
//   S_c <- (1-w) S_c + (w/m) sum_i (a_i - nu)(a_i - nu)^T + w (1-w) (mu_c - nu)(mu_c - nu)^T
//   mu_c <- (1-w) mu_c + w nu        n_c <- n_c + m        (diagonal: squares in place of outer products)
//   Absent classes keep every bit. A NaN in a feature reaches no class but its own.
//   Low rank: the same diagonal, and of the rest what R directions hold; low_rank.h defines it, and its own forms of what follows.
//
// Forward, with D_c[j] = w_j - w_c, subtracted first:
//   U_c = D_c S_c  (C,A)             Q[c,j] = U_c[j] . D_c[j]      logits = F W^T + b      augmented_logits = logits + (ratio/2) Q[y]
//   U_c[c] and Q[c,c] are exactly 0. A ratio of 0 gives the plain logits bit for bit.
//
// Backward, with G = daugmented (the gradient of the loss by the augmented logits), Gc[c,j] = sum over i with y_i = c of G[i,j], S constant:
//   dF = G W     db = sum_i G[i]     dW = G^T F;  dW[j] += ratio sum_c Gc[c,j] U_c[j];  dW[c] -= ratio sum_j Gc[c,j] U_c[j]
//
//   FLOP   update 2 (N + K) A^2          forward 2 K C A^2 + 2 N C A    backward 4 N C A + 4 K C A       (full)
//   bytes  update S_c of K classes, twice   forward S_c once, u once    backward u once
//
// IsdaHead is all of it and what lies around it, from the network's last feature maps to the gradients, as one operation:
//   F[n] = mean over (h,w) of x[n,h,w]      update, forward      loss = mean over n of -log softmax(augmented_logits[n])[y[n]]
//   G, backward      dx[n,h,w] = dF[n] / (H W)      correct = hits of the plain logits (kernels/softmax_cross_entropy)
//   FLOP   those of update, forward and backward; 5 N C; 2 N H W A     bytes  x, dx, W, dW once; S_c of K classes twice; what lies between is the version's
#pragma once
#include "kernels/common/operation.h"
#include "kernels/isda/covariance_kind.h"

namespace isda::kernels {

struct IsdaUpdate {
  static constexpr auto name = "isda_update";
  ConstView features;  // (N,A)
  ConstView labels;    // (N) i32
  View count;          // (C), changed in place
  View mean;           // (C,A), changed in place
  View covariance;     // (C,A,A), (C,1+R,A) or (C,A), changed in place
};
ISDA_OPERATION(IsdaUpdate);

struct IsdaForward {
  static constexpr auto name = "isda_forward";
  ConstView features;     // (N,A)
  ConstView labels;       // (N) i32
  ConstView weight;       // (C,A)
  ConstView bias = {};    // (C), optional
  ConstView covariance;   // (C,A,A), (C,1+R,A) or (C,A)
  ConstView ratio;        // (1)
  View logits;            // (N,C), overwritten: the plain ones
  View augmented_logits;  // (N,C), overwritten
  View slots;             // (C) i32, overwritten: the position of class c among the present classes in order of number; -1 if absent
  View u = {};            // (min(N,C),C,A) full, (min(N,C),C,R) low rank: u[slots[c]] is overwritten by U_c, or by P_c; slots not used keep what they held
};
ISDA_OPERATION(IsdaForward);

// IsdaUpdate and then IsdaForward on the new statistics, reading and writing each S_c once.
struct IsdaUpdateForward {
  static constexpr auto name = "isda_update_forward";
  ConstView features;     // (N,A)
  ConstView labels;       // (N) i32
  ConstView weight;       // (C,A)
  ConstView bias = {};    // (C), optional
  ConstView ratio;        // (1)
  View count;             // (C), changed in place
  View mean;              // (C,A), changed in place
  View covariance;        // (C,A,A), (C,1+R,A) or (C,A), changed in place
  View logits;            // (N,C), overwritten
  View augmented_logits;  // (N,C), overwritten
  View slots;             // (C) i32, overwritten
  View u = {};            // (min(N,C),C,A) full, (min(N,C),C,R) low rank
};
ISDA_OPERATION(IsdaUpdateForward);

// Its two halves, for versions that run one after the other.
inline IsdaUpdate update_of(const IsdaUpdateForward& op) {
  return {.features = op.features, .labels = op.labels, .count = op.count, .mean = op.mean, .covariance = op.covariance};
}
inline IsdaForward forward_of(const IsdaUpdateForward& op) {
  return {.features = op.features,
          .labels = op.labels,
          .weight = op.weight,
          .bias = op.bias,
          .covariance = op.covariance,
          .ratio = op.ratio,
          .logits = op.logits,
          .augmented_logits = op.augmented_logits,
          .slots = op.slots,
          .u = op.u};
}

struct IsdaBackward {
  static constexpr auto name = "isda_backward";
  ConstView daugmented;  // (N,C)
  ConstView features;    // (N,A)
  ConstView labels;      // (N) i32
  ConstView weight;      // (C,A)
  ConstView covariance;  // (C,A,A), (C,1+R,A) or (C,A); read unless full, its shape tells which
  ConstView slots;       // (C) i32, of the forward
  ConstView u = {};      // (min(N,C),C,A) full, (min(N,C),C,R) low rank, of the forward
  ConstView ratio;       // (1)
  View dfeatures;        // (N,A), overwritten
  View dweight;          // (C,A), overwritten
  View dbias = {};       // (C), optional, overwritten
};
ISDA_OPERATION(IsdaBackward);

// A NaN among a sample's logits, or on the card a label outside [0,C), makes the loss NaN.
struct IsdaHead {
  static constexpr auto name = "isda_head";
  ConstView x;          // (N,H,W,A), or (N,A), the features
  ConstView labels;     // (N) i32
  ConstView weight;     // (C,A)
  ConstView bias = {};  // (C), optional
  ConstView ratio;      // (1)
  View count;           // (C), changed in place
  View mean;            // (C,A), changed in place
  View covariance;      // (C,A,A), (C,1+R,A) or (C,A), changed in place
  View loss;            // (1), overwritten
  View correct;         // (1) i32, overwritten
  View dx;              // the shape and type of x, overwritten; it and the next two are gradients of the loss
  View dweight;         // (C,A), overwritten
  View dbias = {};      // (C), optional, overwritten
};
ISDA_OPERATION(IsdaHead);

// Up to so many features, with full covariances, the head on the card is one kernel in which a block owns a class, and the sums over the classes.
inline constexpr std::int64_t kMostFeaturesByClass = 128;

// Features are maps of one pixel.
template <class AnyView>
AnyView as_maps(const AnyView& x) {
  return x.shape().rank() == 4 ? x : AnyView(x.data(), x.type(), {x.extent(0), 1, 1, x.extent(1)});
}

}  // namespace isda::kernels
