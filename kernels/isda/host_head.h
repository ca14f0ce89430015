// SPDX-License-Identifier: Apache-2.0
// What the heads of the devices that compute on the host do once the logits are corrected: losses, hits and gradients, by the operations that there are.
#pragma once
#include "kernels/isda/isda.h"
#include "kernels/pooling/pooling.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace isda::kernels {

struct CorrectedLogits {
  ConstView features;    // (N,A)
  ConstView logits;      // (N,C), the plain ones
  ConstView augmented;   // (N,C)
  ConstView covariance;  // its shape tells the kind; not read where it is full
  ConstView slots;       // (C) i32
  ConstView u;           // as IsdaForward leaves it
};

// version: Reference or Cpu. op: IsdaHead or IsdaPreparedHead. make(shape): an array of the version's type, to work with.
template <class Version, class Head, class Make>
void finish_on_host(Version version, const Context& context, const Head& op, const CorrectedLogits& of, Make&& make) {
  const View plain_loss = make({1}), daugmented = make(of.augmented.shape()), dfeatures = make(of.features.shape());
  run(version, context, SoftmaxCrossEntropy{.logits = of.logits, .labels = op.labels, .loss = plain_loss, .correct = op.correct});
  run(version, context, SoftmaxCrossEntropy{.logits = of.augmented, .labels = op.labels, .loss = op.loss, .dlogits = daugmented});
  run(version, context,
      IsdaBackward{.daugmented = daugmented,
                   .features = of.features,
                   .labels = op.labels,
                   .weight = op.weight,
                   .covariance = of.covariance,
                   .slots = of.slots,
                   .u = of.u,
                   .ratio = op.ratio,
                   .dfeatures = dfeatures,
                   .dweight = op.dweight,
                   .dbias = op.dbias});
  run(version, context, GlobalAverageBackward{.dy = dfeatures, .dx = as_maps(op.dx)});
}

}  // namespace isda::kernels
