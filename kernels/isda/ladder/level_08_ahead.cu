// SPDX-License-Identifier: Apache-2.0
// Level 8: off the critical path. The pass over the covariances does not wait for the features (kernels/isda/prepared_head.h).
//
//   U and Q of the statistics *before* the batch need labels and weights only, which are there when a step begins. What the batch adds is of rank m + 1:
//
//     U'_c[j] = keep U_c[j] + sum_k t_k[j] z_k       Q'[c,j] = keep Q[c,j] + sum_k t_k[j]^2       t_k[j] = z_k . D_c[j]
//
//   So a step of training has two branches: the network's forward pass, and beside it IsdaPrepare, in 4 launches. Where they meet IsdaPreparedHead goes on in
//   10, none of them over a covariance: it projects the few z_k on the weights, and the one pass over U that dW needs makes U' on the way. The z_k stay
//   pending; they are added to S_c when the class comes next, in the pass that multiplies it. So in a step S_c is still read once and written once.
//
//   bytes  behind the features 4 (K C A + ...): U once, and what level 7 has beside S_c
//   gains  of level 7 all of its pass but the launch that joins the branches
//
// Here, by itself, nothing runs beside it, and the contract wants the covariances changed when it returns: so what is pending is added at once (IsdaSettle),
// another pass. The row of this level is therefore longer than level 7's; what a step waits for is isda_prepared_head's line of isda_bench_card.
//
// What hurts: a pass of U is left, and launches.
#include "kernels/isda/ladder/steps.cuh"
#include "kernels/isda/prepared_head.h"

namespace isda::kernels::ladder {

namespace {

void run_ahead(const Context& context, const IsdaHead& op) {
  const std::int64_t N = op.x.extent(0);
  const auto [C, A] = op.weight.extents<2>();
  const std::int64_t most = N < C ? N : C, of_class = 8, rows = PendingTerms::rows_for(C, of_class, N);
  Scratch scratch = context.scratch();
  const auto floats = [&](const Shape& shape) { return make(scratch, shape); };
  const auto integers = [&](std::int64_t count) { return View(scratch.take<std::int32_t>(count), DType::i32, {count}); };
  const PendingTerms pending{.count = integers(C), .first = integers(C), .keep = floats({C}), .rows = floats({rows, A}), .of_class = of_class};
  const Prepared prepared{.slots = integers(C), .members = integers(2 * most + 2 + N), .u = floats({most, C, A}), .q = floats({most, C})};
  cuda::fill_bytes(pending.count.data(), 0, static_cast<std::size_t>(pending.count.bytes()), context.stream());

  // Beside the network.
  run(Cuda{}, context, IsdaPrepare{.labels = op.labels, .weight = op.weight, .covariance = op.covariance, .pending = pending, .prepared = prepared});
  // Behind it.
  run(Cuda{}, context,
      IsdaPreparedHead{.x = op.x,
                       .labels = op.labels,
                       .weight = op.weight,
                       .bias = op.bias,
                       .ratio = op.ratio,
                       .count = op.count,
                       .mean = op.mean,
                       .pending = pending,
                       .prepared = prepared,
                       .loss = op.loss,
                       .correct = op.correct,
                       .dx = op.dx,
                       .dweight = op.dweight,
                       .dbias = op.dbias});
  // Before anybody reads the covariances; in training when a checkpoint is written.
  run(Cuda{}, context, IsdaSettle{.covariance = op.covariance, .pending = pending});
}

// Of a step in training: without the settling.
Cost cost_ahead(const IsdaHead& op) { return cost(op); }

const Declare level{{.name = "08_ahead", .idea = "the pass over the covariances beside the network", .cost = cost_ahead, .run = run_ahead}};

}  // namespace

}  // namespace isda::kernels::ladder
