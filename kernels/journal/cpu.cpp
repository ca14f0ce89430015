// SPDX-License-Identifier: Apache-2.0
#include "kernels/journal/journal.h"

namespace isda::kernels {

// NOTE: three words: nothing to be faster at.
void run(Cpu, const Context& context, const Journal& op) { run(Reference{}, context, op); }

}  // namespace isda::kernels
