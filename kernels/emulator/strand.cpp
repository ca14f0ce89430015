// SPDX-License-Identifier: Apache-2.0
#include "kernels/emulator/strand.h"

#include <vector>

namespace isda::emulator {

namespace {

// NOTE: never destroyed, as what they hold: a sanitizer still knows of it when the program ends.
std::vector<Strand*>& unused_strands() {
  static auto* made = new std::vector<Strand*>;
  return *made;
}

Strand* make_strand() {
  auto* strand = new Strand{.tsan_fiber = sanitizer::create_tsan_fiber(), .grid = &make_grid()};
  sanitizer::name_tsan_fiber(strand->tsan_fiber, "CUDA stream");
  return strand;
}

}  // namespace

Strand* working = nullptr;

Strand& take_strand() {
  if constexpr (!sanitizer::kSeesRaces) {
    static Strand* only = make_strand();
    return *only;
  }
  if (unused_strands().empty()) return *make_strand();
  Strand* strand = unused_strands().back();
  unused_strands().pop_back();
  return *strand;
}

void give_back(Strand& strand) {
  if constexpr (sanitizer::kSeesRaces) unused_strands().push_back(&strand);
}

}  // namespace isda::emulator
