// SPDX-License-Identifier: Apache-2.0
#include "datasets/validation.h"

#include <algorithm>
#include <numeric>

#include "kernels/common/error.h"
#include "kernels/common/philox.h"

namespace isda {

namespace {

// NOTE: changing it changes which images are held out, and with that what every earlier run was judged on.
constexpr std::uint64_t kSeed = 5000;

// Fisher-Yates; `which` tells the lists apart.
void shuffle(std::vector<std::int32_t>& list, std::uint64_t which) {
  for (std::size_t i = list.size(); i-- > 1;) {
    const auto words = philox(kSeed, RandomStream::dataset, which, i);
    std::swap(list[i], list[uniform_below(words[0], static_cast<std::uint32_t>(i + 1))]);
  }
}

std::vector<std::vector<std::int32_t>> images_of_classes(std::span<const std::int32_t> labels, int classes) {
  std::vector<std::vector<std::int32_t>> images(static_cast<std::size_t>(classes));
  for (std::size_t i = 0; i < labels.size(); ++i) images[static_cast<std::size_t>(labels[i])].push_back(static_cast<std::int32_t>(i));
  return images;
}

}  // namespace

std::vector<std::int32_t> held_out_indices(std::span<const std::int32_t> labels, int classes, std::int64_t count) {
  auto images = images_of_classes(labels, classes);
  std::int64_t most = 0;
  for (std::size_t c = 0; c < images.size(); ++c) {
    shuffle(images[c], c + 1);
    most += std::max<std::int64_t>(static_cast<std::int64_t>(images[c].size()) - 1, 0);
  }
  require(count >= 0 && count <= most, "[data] --validation is {}, expected 0 to {}: there are {} training images, and each class keeps at least one", count,
          most, labels.size());

  // Deal: the first image of every class, then the second, until there are as many as asked for.
  std::vector<std::int32_t> order(images.size()), taken;
  std::iota(order.begin(), order.end(), 0);
  shuffle(order, 0);
  for (std::size_t rank = 0; static_cast<std::int64_t>(taken.size()) < count; ++rank) {
    for (const std::int32_t c : order) {
      const auto& of_class = images[static_cast<std::size_t>(c)];
      if (rank + 1 < of_class.size() && static_cast<std::int64_t>(taken.size()) < count) taken.push_back(of_class[rank]);
    }
  }
  std::sort(taken.begin(), taken.end());
  return taken;
}

void hold_out(Dataset& dataset, std::int64_t count) {
  const auto held_out = held_out_indices(dataset.train.labels, dataset.classes(), count);
  std::vector<std::int32_t> kept;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(dataset.train.size()); ++i) {
    if (!std::binary_search(held_out.begin(), held_out.end(), i)) kept.push_back(i);
  }
  dataset.validation = dataset.train.selected(held_out);
  dataset.train = dataset.train.selected(kept);
}

}  // namespace isda
