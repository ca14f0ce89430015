// SPDX-License-Identifier: Apache-2.0
// Training images that are held out to choose by: the paper chose lambda_0 on 5,000 of CIFAR's 50,000.   Wang et al. 2019, section 5.
//
// Which images is a function of their labels and of how many alone, not of the seed of a run: runs that differ in the seed or in lambda_0 are judged on the
// same images. Each class gives as many as every other, as far as it has them and keeps one to train with; of a class, and of the classes that give one image
// more, they are drawn. The images of a smaller number are among those of a larger one.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "datasets/dataset.h"

namespace isda {

// Moves `count` images from dataset.train to dataset.validation; both keep the order of their files. Throws Error where a class would be left without any.
void hold_out(Dataset& dataset, std::int64_t count);

// Which images these are, in order.
std::vector<std::int32_t> held_out_indices(std::span<const std::int32_t> labels, int classes, std::int64_t count);

}  // namespace isda
