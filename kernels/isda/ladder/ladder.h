// SPDX-License-Identifier: Apache-2.0
// ISDA's head on the card as a ladder: from the dense form, as it is usually written, to the one in use, one idea a level. To read from the first to the last,
// to time (bench/isda_ladder.cpp) and to profile; docs/isda_ladder.md is the lesson.
//
// Every level has the contract of IsdaHead (kernels/isda/isda.h) with a full covariance, x of f32 or bf16, and is held against the same definition. What no
// level is about (averages, the linear layer's products, softmax) is done by the operations that there are (steps.cuh), so that a level's file holds its idea
// and nothing else.
//
// A level more is one file, level_NN_WHAT.cu, which ends with
//
//   const Declare level{{.name = "08_what", .idea = "...", .cost = level_cost, .run = level_run}};
#pragma once
#include <vector>

#include "kernels/isda/isda.h"

namespace isda::kernels::ladder {

struct Level {
  const char* name;
  const char* idea;
  // What the level itself does and moves, every array of a pass once: more than the operation's cost() where it does more than it must.
  Cost (*cost)(const IsdaHead&);
  void (*run)(const Context&, const IsdaHead&);
};

// In order of their names.
const std::vector<Level>& levels();

// Checks, and runs the level. Throws Error for a diagonal covariance.
void run(const Context& context, const Level& level, const IsdaHead& op);

// Adds a level when the program starts.
struct Declare {
  explicit Declare(const Level& level);
};

}  // namespace isda::kernels::ladder
