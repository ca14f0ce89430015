// SPDX-License-Identifier: Apache-2.0
#include "training/device_choice.h"

#include "kernels/augment/augment.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/center_loss/center_loss.h"
#include "kernels/concat/concat.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/focal_loss/focal_loss.h"
#include "kernels/image_policy/image_policy.h"
#include "kernels/isda/prepared_head.h"
#include "kernels/isda_draw/isda_draw.h"
#include "kernels/journal/journal.h"
#include "kernels/large_margin/large_margin.h"
#include "kernels/linear/linear.h"
#include "kernels/mix/mix.h"
#include "kernels/pooling/pooling.h"
#include "kernels/resized_crop/resized_crop.h"
#include "kernels/sgd/sgd.h"
#include "kernels/shake/shake.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "kernels/two_flows/two_flows.h"

namespace isda {

namespace {

template <class... Operations>
std::string first_without_cuda() {
  std::string first;
  const auto look_at = [&]<class Operation>(const Operation& operation) {
    if (first.empty() && !has_cuda(operation)) first = Operation::name;
  };
  (look_at(Operations{}), ...);
  return first;
}

}  // namespace

std::string operation_without_cuda() {
  using namespace kernels;
  return first_without_cuda<Augment, ImagePolicy, ResizedCrop, Mix, Conv2d, Conv2dBackwardData, Conv2dBackwardWeights, BatchNormStatistics, BatchNorm,
                            BatchNormAffine, BatchNormBackwardReduce, BatchNormBackward, Relu, ReluBackward, Add, Scale, Sigmoid, SigmoidBackward,
                            ScaleChannels, ScaleChannelsBackward, Dropout, Shake, ShakeBackward, TwoFlows, TwoFlowsBackward, Concat, ConcatBackward,
                            GlobalAverage, GlobalAverageBackward, MaxPool2d, MaxPool2dBackward, AveragePool2d, AveragePool2dBackward, Linear, LinearBackward,
                            SoftmaxCrossEntropy, FocalLoss, LargeMargin, LargeMarginBackward, CenterLoss, IsdaUpdate, IsdaForward, IsdaUpdateForward,
                            IsdaBackward, IsdaHead, IsdaPrepare, IsdaPreparedHead, IsdaSettle, IsdaDraw, IsdaDrawBackward, Sgd, Journal>();
}

DeviceChoice automatic_device(const cuda::Card& card, const std::string& missing) {
  if (!card.is_usable) return {Device::cpu, "auto: " + card.description};
  if (card.is_emulated) return {Device::cpu, "auto: the card is emulated"};
  if (!missing.empty()) return {Device::cpu, fmt::format("auto: {} found, but {} has no CUDA version yet", card.description, missing)};
  return {Device::cuda, "auto: " + card.description};
}

DeviceChoice choose_device(const std::string& name) {
  if (name == "cpu") return {Device::cpu, "as asked for"};
  if (name == "reference") return {Device::reference, "as asked for: the definition of every operation, slow"};
  if (name == "auto") return automatic_device(cuda::card(), operation_without_cuda());
  require(name == "cuda", "[device] there is no device '{}', expected auto, cpu, cuda or reference", name);
  cuda::require_card();
  return {Device::cuda, "as asked for: " + cuda::card().description};
}

}  // namespace isda
