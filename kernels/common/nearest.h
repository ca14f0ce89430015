// SPDX-License-Identifier: Apache-2.0
// "Did you mean ...?": the known word nearest to an unknown one, for flags, models and data sets.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace isda {

// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal string alignment distance).
// Upper and lower case are the same, and so are '-' and '_'.
int edit_distance(std::string_view a, std::string_view b);

// The candidate with the smallest distance, the first of equals; empty when none is within a third of the longer word's length.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace isda
