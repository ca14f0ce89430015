// SPDX-License-Identifier: Apache-2.0
// The whole ISDA head as a training step meets it: statistics and logits, softmax cross-entropy, gradients. One line per shape, and one
// per part of it; with the memory of the statistics, and of a step beyond them. The same with a linear layer in place of ISDA, to see what ISDA adds to a step.
//
//   isda_bench --benchmark_filter=head
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "kernels/isda/isda.h"
#include "kernels/linear/linear.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace isda::kernels {
namespace {

// An array of floats, or of labels, with its memory.
class Array {
 public:
  explicit Array(const Shape& shape, float scale = 0) : memory_(static_cast<std::size_t>(shape.size())), view_(memory_.data(), DType::f32, shape) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, scale);
    if (scale > 0) {
      for (float& value : memory_) value = normal(random);
    }
  }
  operator View() const { return view_; }
  float* data() { return memory_.data(); }

 private:
  std::vector<float> memory_;
  View view_;
};

class Labels {
 public:
  Labels(std::int64_t N, std::int64_t C) : memory_(static_cast<std::size_t>(N)), view_(memory_.data(), DType::i32, {N}) {
    std::mt19937 random(2);
    for (auto& label : memory_) label = static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(C));
  }
  operator View() const { return view_; }

 private:
  std::vector<std::int32_t> memory_;
  View view_;
};

struct Head {
  Head(std::int64_t N, std::int64_t C, std::int64_t A, bool has_full_covariance)
      : features({N, A}, 1),
        weight({C, A}, 0.05f),
        bias({C}, 0.05f),
        ratio({1}),
        count({C}),
        mean({C, A}),
        covariance(has_full_covariance ? Shape{C, A, A} : Shape{C, A}),
        logits({N, C}),
        augmented({N, C}),
        u(has_full_covariance ? Shape{std::min(N, C), C, A} : Shape{1}),
        loss({1}),
        daugmented({N, C}),
        dfeatures({N, A}),
        dweight({C, A}),
        dbias({C}),
        labels(N, C),
        slot_numbers(static_cast<std::size_t>(C)),
        slots(slot_numbers.data(), DType::i32, {C}),
        is_full(has_full_covariance) {
    *ratio.data() = 0.25f;
  }

  void forward(const Context& context) const {
    run(context, IsdaUpdateForward{.features = features,
                                   .labels = labels,
                                   .weight = weight,
                                   .bias = bias,
                                   .ratio = ratio,
                                   .count = count,
                                   .mean = mean,
                                   .covariance = covariance,
                                   .logits = logits,
                                   .augmented_logits = augmented,
                                   .slots = slots,
                                   .u = is_full ? View(u) : View()});
  }
  void loss_of(const Context& context, const View& z) const {
    run(context, SoftmaxCrossEntropy{.logits = z, .labels = labels, .loss = loss, .dlogits = daugmented});
  }
  void backward(const Context& context) const {
    run(context, IsdaBackward{.daugmented = daugmented,
                              .features = features,
                              .labels = labels,
                              .weight = weight,
                              .covariance = covariance,
                              .slots = slots,
                              .u = is_full ? View(u) : View(),
                              .ratio = ratio,
                              .dfeatures = dfeatures,
                              .dweight = dweight,
                              .dbias = dbias});
  }
  void plain(const Context& context) const {
    run(context, Linear{.x = features, .weight = weight, .bias = bias, .y = logits});
    loss_of(context, logits);
    run(context, LinearBackward{.dy = daugmented, .x = features, .weight = weight, .dx = dfeatures, .dweight = dweight, .dbias = dbias});
  }

  // What the class statistics take, and what a step takes beyond them: its outputs and the scratch memory.
  double statistics_bytes() const { return bytes({count, mean, covariance}); }
  double extra_bytes(const Context& context) const {
    return bytes({logits, augmented, u, loss, daugmented, dfeatures, dweight, dbias, slots}) + static_cast<double>(context.arena().capacity());
  }
  static double bytes(std::initializer_list<View> views) {
    double sum = 0;
    for (const View& view : views) sum += static_cast<double>(view.bytes());
    return sum;
  }

  Array features, weight, bias, ratio, count, mean, covariance, logits, augmented, u, loss, daugmented, dfeatures, dweight, dbias;
  Labels labels;
  std::vector<std::int32_t> slot_numbers;
  View slots;
  bool is_full;
};

enum Part { kAll, kForward, kLoss, kBackward, kPlain };

void time_part(benchmark::State& state, Part part, bool is_full) {
  const Head head(state.range(0), state.range(1), state.range(2), is_full);
  const Context context(Device::cpu);
  head.forward(context);
  head.loss_of(context, head.augmented);
  for (auto _ : state) {
    if (part == kAll || part == kForward) head.forward(context);
    if (part == kAll || part == kLoss) head.loss_of(context, head.augmented);
    if (part == kAll || part == kBackward) head.backward(context);
    if (part == kPlain) head.plain(context);
  }
  if (part == kAll) {
    state.counters["statistics_MB"] = head.statistics_bytes() * 1e-6;
    state.counters["extra_MB"] = head.extra_bytes(context) * 1e-6;
  }
}

const bool registered = [] {
  const auto add = [](const char* name, Part part, bool is_full) {
    benchmark::RegisterBenchmark(name, [=](benchmark::State& state) { time_part(state, part, is_full); })
        ->ArgNames({"N", "C", "A"})
        ->Args({128, 10, 64})
        ->Args({128, 100, 64})
        ->Args({128, 100, 342})
        ->Args({128, 100, 640})
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  };
  add("isda_head", kAll, true);
  add("isda_head/update_forward", kForward, true);
  add("isda_head/cross_entropy", kLoss, true);
  add("isda_head/backward", kBackward, true);
  add("isda_head_diagonal", kAll, false);
  add("cross_entropy_head", kPlain, true);
  return true;
}();

}  // namespace
}  // namespace isda::kernels
