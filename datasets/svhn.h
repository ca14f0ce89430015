// SPDX-License-Identifier: Apache-2.0
// SVHN, house numbers: cropped digits of 32x32.   Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011.
//
//   train_32x32.mat (73257), test_32x32.mat (26032), extra_32x32.mat (531131, easier ones):
//   X (32,32,3,N) u8, rows, columns, colours, images, the first fastest; y (N,1), the digit, 10 for a 0
#pragma once
#include <filesystem>

#include "datasets/dataset.h"

namespace isda {

// Normalised with what is measured on the training images.
Dataset load_svhn(const std::filesystem::path& directory);
// With the extra images among the training images, behind the others.
Dataset load_svhn_extra(const std::filesystem::path& directory);

}  // namespace isda
