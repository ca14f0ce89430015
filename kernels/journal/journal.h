// SPDX-License-Identifier: Apache-2.0
// What a training step leaves to be read later: its loss and its hits, written to the next row of a table on the device.
//
//   losses[row] = loss;  hits[row] = correct;  row <- row + 1
//
// So a recorded step writes to another row at each replay, and the host reads many steps at once and waits for none.
//   losses (L) f32|f64   hits (L) i32   row (1) i32      FLOP none   bytes  six words
//
// A step that comes when all rows are written leaves nothing, and row goes on counting: the host then knows how many it has missed.
#pragma once
#include "kernels/common/operation.h"

namespace isda::kernels {

struct Journal {
  static constexpr auto name = "journal";
  ConstView loss;     // (1)
  ConstView correct;  // (1) i32
  View losses;        // (L), the type of loss; one element is overwritten
  View hits;          // (L) i32; one element is overwritten
  View row;           // (1) i32, counted up; 0 or more
};
ISDA_OPERATION(Journal);

}  // namespace isda::kernels
