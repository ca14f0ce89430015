// SPDX-License-Identifier: Apache-2.0
#include "models/pyramidnet.h"

#include "layers/pooling.h"

namespace isda {

namespace {

Conv2dOptions first_convolution(const PyramidBlockOptions& options) {
  if (options.is_bottleneck) return {.kernel = 1};
  return {.kernel = 3, .stride = options.stride, .padding = 1};
}

Tensor step_of(const PyramidNetOptions& options) { return options.survival < 1 ? Tensor::zeros({1}, DType::i32, PlacementScope::current().device) : Tensor(); }

}  // namespace

PyramidBlock::PyramidBlock(const PyramidBlockOptions& options, const Tensor& step)
    : stride_(options.stride),
      bn1_(child<BatchNorm>("bn1", options.in)),
      conv1_(child<Conv2d>("conv1", options.in, options.width, first_convolution(options))),
      bn2_(child<BatchNorm>("bn2", options.width)),
      conv2_(
          child<Conv2d>("conv2", options.width, options.width, Conv2dOptions{.kernel = 3, .stride = options.is_bottleneck ? options.stride : 1, .padding = 1})),
      bn3_(child<BatchNorm>("bn3", options.width)),
      shake_(child<Shake>("shake", step, options.shake)) {
  require(options.in <= options.out(), "[pyramidnet] a block of {} channels cannot follow {}: a shortcut takes none away", options.out(), options.in);
  if (!options.is_bottleneck) return;
  conv3_ = &child<Conv2d>("conv3", options.width, options.out(), Conv2dOptions{.kernel = 1});
  bn4_ = &child<BatchNorm>("bn4", options.out());
}

Tensor PyramidBlock::operator()(const Tensor& x) const {
  const Tensor shortcut = stride_ > 1 ? average_pool2d(x, {.kernel = stride_, .stride = stride_}) : x;
  const Tensor y = conv2_(bn2_.relu_on_load(conv1_(bn1_(x))));
  return shake_(shortcut, conv3_ ? (*bn4_)((*conv3_)(bn3_.relu_on_load(y))) : bn3_(y));
}

PyramidNet::PyramidNet(const PyramidNetOptions& options)
    : step_(step_of(options)), conv1_(child<Conv2d>("conv1", 3, 16, Conv2dOptions{.kernel = 3, .padding = 1})), bn1_(child<BatchNorm>("bn1", 16)) {
  const auto& [depth, alpha, is_bottleneck, classes, survival, seed] = options;
  require(is_pyramidnet_depth(depth, is_bottleneck), "[pyramidnet] depth {} is not {}; the networks of the paper are {} deep", depth,
          is_bottleneck ? "9n+2, as those of bottlenecks are" : "6n+2", is_bottleneck ? "164, 200, 236 and 272" : "110");
  require(alpha >= 1, "[pyramidnet] {} channels more were asked for, expected 1 or more", alpha);
  require(survival >= 0 && survival <= 1, "[pyramidnet] survival is {}, expected from 0 to 1", survival);
  const int of_stage = (depth - 2) / (is_bottleneck ? 9 : 6);
  const std::int64_t L = 3 * of_stage;
  std::int64_t in = 16;
  for (std::int64_t k = 1; k <= L; ++k) {
    const std::int64_t block = (k - 1) % of_stage, stage = (k - 1) / of_stage + 1;
    const PyramidBlockOptions here{.in = in,
                                   .width = 16 + alpha * k / L,
                                   .stride = stage > 1 && block == 0 ? 2 : 1,
                                   .is_bottleneck = is_bottleneck,
                                   .shake = {.survival = 1 - static_cast<double>(k) / static_cast<double>(L) * (1 - survival),
                                             .seed = seed,
                                             .layer = static_cast<std::uint32_t>(blocks_.size())}};
    blocks_.push_back(&child<PyramidBlock>(fmt::format("layer{}.{}", stage, block), here, step_));
    in = here.out();
  }
  bn_final_ = &child<BatchNorm>("bn_final", in);
  fc_ = &child<Linear>("fc", in, classes);
}

Tensor PyramidNet::maps(const Tensor& images) const {
  Tensor x = bn1_(conv1_(images));
  for (const PyramidBlock* block : blocks_) x = (*block)(x);
  return (*bn_final_)(x, {.relu = true});
}

namespace {

// NOTE: as in the paper, where 110 are basic blocks, 164 and more bottlenecks.
bool are_bottlenecks(int depth) { return depth >= 164; }

bool is_pyramid(const Numbers& numbers) { return is_pyramidnet_depth(numbers[0], are_bottlenecks(numbers[0])); }

Build build_pyramid(const Numbers& numbers, double survival) {
  return [=](const NetworkOptions& options) {
    return std::make_unique<PyramidNet>(PyramidNetOptions{.depth = numbers[0],
                                                          .alpha = numbers[1],
                                                          .is_bottleneck = are_bottlenecks(numbers[0]),
                                                          .classes = options.classes,
                                                          .survival = survival,
                                                          .seed = options.seed});
  };
}

}  // namespace

const Family kPyramidNet{
    .name = "pyramidnet",
    .title = "PyramidNet",
    .separators = "_",
    .is_member = is_pyramid,
    .build = [](const Numbers& numbers) { return build_pyramid(numbers, 1); },
};

// The last block survives with a probability of one half.
const Family kShakeDropPyramidNet{
    .name = "shakedrop_pyramidnet",
    .title = "ShakeDrop PyramidNet",
    .separators = "_",
    .is_member = is_pyramid,
    .build = [](const Numbers& numbers) { return build_pyramid(numbers, 0.5); },
};

}  // namespace isda
