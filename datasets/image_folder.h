// SPDX-License-Identifier: Apache-2.0
// Data sets of JPEG files in folders, a folder a class, as ImageNet is kept.   Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015.
//
//   DIR/train/<class>/*.jpeg|*.jpg    DIR/val/<class>/*.jpeg|*.jpg      in small or capital letters; classes are numbered in the order of their names
#pragma once
#include <filesystem>

#include "datasets/dataset.h"

namespace isda {

// Any classes. Normalised with what is measured on 256 training images, evenly spaced, as they are evaluated.
Dataset load_image_folder(const std::filesystem::path& directory, const ImageOptions& options);
// 1000 of them, normalised with the constants that everyone uses for it.
Dataset load_imagenet(const std::filesystem::path& directory, const ImageOptions& options);

// Mean and deviation of the channels over at most `most` images of a split of files, evenly spaced, as they are evaluated. Corrupt ones are passed over.
ChannelStatistics mean_and_deviation_of_files(const Split& split, std::int64_t most);

}  // namespace isda
