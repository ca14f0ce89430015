// SPDX-License-Identifier: Apache-2.0
// Level 7: the head as it is in use, IsdaHead on the card (kernels/isda/head.cu).
//
//   up to 128 features   a block owns a class that is present: S_c, W and U_c in its shared memory, average, statistics, logits, loss and gradients of its
//                        samples one after the other; the second and last launch adds up what the classes leave (head_by_class.cu)
//   beyond               level 6 with all that a pass can have: four stages of asynchronous copies, S_c from memory into the registers that are the tensor
//                        core's operand, without shared memory; Q summed while U_c is in registers; average and fold in one launch, softmax, hits and the
//                        sums of gradients in another (streaming_pass.cu, head_statistics.cu)
//
//   bytes     4 (2 K A^2 + 2 K C A), and for up to 128 features not even U
//   launches  2, or 11: where level 6 has 19
//   gains     loads overlap products; and where there is little to do, nothing is left but two launches
//
// What hurts: the pass waits for the features, though all but the terms could be had before.
#include "kernels/isda/ladder/ladder.h"

namespace isda::kernels::ladder {

namespace {

void run_in_use(const Context& context, const IsdaHead& op) { run(Cuda{}, context, op); }

Cost cost_in_use(const IsdaHead& op) { return cost(op); }

const Declare level{{.name = "07_in_use", .idea = "the head in use", .cost = cost_in_use, .run = run_in_use}};

}  // namespace

}  // namespace isda::kernels::ladder
