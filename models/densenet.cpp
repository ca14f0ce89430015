// SPDX-License-Identifier: Apache-2.0
#include "models/densenet.h"

#include <algorithm>

#include "layers/concat.h"
#include "layers/pooling.h"

namespace isda {

DenseLayer::DenseLayer(std::int64_t in, std::int64_t inside, std::int64_t growth)
    : norm1_(child<BatchNorm>("norm1", in)),
      conv1_(child<Conv2d>("conv1", in, inside, Conv2dOptions{.kernel = 1})),
      norm2_(child<BatchNorm>("norm2", inside)),
      conv2_(child<Conv2d>("conv2", inside, growth, Conv2dOptions{.kernel = 3, .padding = 1})) {}

Transition::Transition(std::int64_t in, std::int64_t out)
    : norm_(child<BatchNorm>("norm", in)), conv_(child<Conv2d>("conv", in, out, Conv2dOptions{.kernel = 1})) {}

Tensor Transition::operator()(const Tensor& x) const { return average_pool2d(conv_(norm_.relu_on_load(x)), {.kernel = 2, .stride = 2}); }

DenseNet::DenseNet(const DenseNetOptions& options) {
  const auto& [blocks, growth, first, bottleneck, compression, is_for_large_images, classes] = options;
  require(!blocks.empty() && *std::min_element(blocks.begin(), blocks.end()) >= 1, "[densenet] expected 1 block or more of 1 layer or more");
  require(growth >= 1 && first >= 1 && bottleneck >= 1, "[densenet] growth {}, {} first channels and a bottleneck of {} were asked for, expected 1 or more",
          growth, first, bottleneck);
  require(compression > 0 && compression <= 1, "[densenet] compression {} was asked for, expected more than 0, at most 1", compression);
  conv0_ = &child<Conv2d>("features.conv0", 3, first,
                          is_for_large_images ? Conv2dOptions{.kernel = 7, .stride = 2, .padding = 3} : Conv2dOptions{.kernel = 3, .padding = 1});
  if (is_for_large_images) norm0_ = &child<BatchNorm>("features.norm0", first);
  std::int64_t channels = first;
  for (std::size_t block = 0; block < blocks.size(); ++block) {
    Block& here = blocks_.emplace_back();
    for (int layer = 0; layer < blocks[block]; ++layer) {
      here.layers.push_back(&child<DenseLayer>(fmt::format("features.denseblock{}.denselayer{}", block + 1, layer + 1), channels, bottleneck * growth, growth));
      channels += growth;
    }
    if (block + 1 == blocks.size()) break;
    const auto fewer = std::max<std::int64_t>(static_cast<std::int64_t>(compression * static_cast<double>(channels)), 1);
    here.transition = &child<Transition>(fmt::format("features.transition{}", block + 1), channels, fewer);
    channels = fewer;
  }
  norm5_ = &child<BatchNorm>("features.norm5", channels);
  classifier_ = &child<Linear>("classifier", channels, classes);
}

Tensor DenseNet::maps(const Tensor& images) const {
  Tensor x = (*conv0_)(images);
  if (norm0_) x = max_pool2d((*norm0_)(x, {.relu = true}), {.kernel = 3, .stride = 2, .padding = 1});
  for (const Block& block : blocks_) {
    for (const DenseLayer* layer : block.layers) x = concat(x, (*layer)(x));
    if (block.transition) x = (*block.transition)(x);
  }
  return (*norm5_)(x, {.relu = true});
}

namespace {

struct Depth {
  int depth;
  std::vector<int> blocks;
  std::int64_t growth, first;
};

const std::vector<Depth>& depths() {
  static const std::vector<Depth> list = {
      {121, {6, 12, 24, 16}, 32, 64}, {161, {6, 12, 36, 24}, 48, 96}, {169, {6, 12, 32, 32}, 32, 64},
      {201, {6, 12, 48, 32}, 32, 64}, {265, {6, 12, 64, 48}, 32, 64},
  };
  return list;
}

const Depth* find_depth(int depth) {
  const auto found = std::find_if(depths().begin(), depths().end(), [&](const Depth& entry) { return entry.depth == depth; });
  return found == depths().end() ? nullptr : &*found;
}

Build build_with(const DenseNetOptions& options) {
  return [=](const NetworkOptions& asked) {
    DenseNetOptions here = options;
    here.classes = asked.classes;
    return std::make_unique<DenseNet>(here);
  };
}

}  // namespace

DenseNetOptions cifar_densenet_options(int depth, std::int64_t growth) {
  require(is_cifar_densenet_depth(depth), "[densenet] depth {} is not 6n+4; the networks of the paper are 100, 190 and 250 deep", depth);
  return {.blocks = std::vector<int>(3, (depth - 4) / 6), .growth = growth, .first = 2 * growth};
}

bool is_imagenet_densenet_depth(int depth) { return find_depth(depth) != nullptr; }

DenseNetOptions imagenet_densenet_options(int depth) {
  const Depth* found = find_depth(depth);
  require(found != nullptr, "[densenet] depth {} is none of 121, 161, 169, 201, 265", depth);
  return {.blocks = found->blocks, .growth = found->growth, .first = found->first, .is_for_large_images = true};
}

const Family kDenseNetBc{
    .name = "densenet_bc",
    .title = "DenseNet-BC",
    .separators = "_",
    .is_member = [](const Numbers& numbers) { return is_cifar_densenet_depth(numbers[0]); },
    .build = [](const Numbers& numbers) { return build_with(cifar_densenet_options(numbers[0], numbers[1])); },
};

const Family kImageNetDenseNet{
    .name = "imagenet_densenet",
    .title = "DenseNet",
    .separators = "",
    .image_extent = 224,
    .classes = 1000,
    .is_member = [](const Numbers& numbers) { return is_imagenet_densenet_depth(numbers[0]); },
    .build = [](const Numbers& numbers) { return build_with(imagenet_densenet_options(numbers[0])); },
};

}  // namespace isda
