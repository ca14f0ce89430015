// SPDX-License-Identifier: Apache-2.0
// The whole ISDA head as a training step meets it: statistics and logits, softmax cross-entropy, gradients. One line per shape, and one
// per part of it; with the memory of the statistics, and of a step beyond them. The same with a linear layer in place of ISDA, to see what ISDA adds to a step.
// And covariances of low rank, R = 0 being the diagonal alone: time, memory, and the relative errors of Q and of the loss against the full covariance's.
//
//   isda_bench --benchmark_filter=head
#include <benchmark/benchmark.h>

#include <array>
#include <cmath>
#include <map>
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
  std::int32_t* data() { return memory_.data(); }

 private:
  std::vector<std::int32_t> memory_;
  View view_;
};

struct Head {
  // R: directions of a covariance of low rank, else 0.
  Head(std::int64_t N, std::int64_t C, std::int64_t A, bool has_full_covariance, std::int64_t R = 0)
      : features({N, A}, 1),
        weight({C, A}, 0.05f),
        bias({C}, 0.05f),
        ratio({1}),
        count({C}),
        mean({C, A}),
        covariance(R > 0                 ? Shape{C, 1 + R, A}
                   : has_full_covariance ? Shape{C, A, A}
                                         : Shape{C, A}),
        logits({N, C}),
        augmented({N, C}),
        u(R > 0 || has_full_covariance ? Shape{std::min(N, C), C, R > 0 ? R : A} : Shape{1}),
        loss({1}),
        daugmented({N, C}),
        dfeatures({N, A}),
        dweight({C, A}),
        dbias({C}),
        labels(N, C),
        slot_numbers(static_cast<std::size_t>(C)),
        slots(slot_numbers.data(), DType::i32, {C}),
        has_u(R > 0 || has_full_covariance) {
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
                                   .u = has_u ? View(u) : View()});
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
                              .u = has_u ? View(u) : View(),
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
  bool has_u;
};

enum Part { kAll, kForward, kLoss, kBackward, kPlain };

void time_part(benchmark::State& state, Part part, bool is_full, std::int64_t R = 0) {
  const Head head(state.range(0), state.range(1), state.range(2), is_full, R);
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

// ---- what a covariance of low rank loses ----

// Features as a network in training makes them, as far as covariances are concerned: each class about a mean of its own, spread along directions that it
// has to itself, with variances that fall as k^-decay, 1 or 2. Means are about as far apart as a class is wide, and move by half of that in 100 steps.
class Stream {
 public:
  Stream(std::int64_t C, std::int64_t A, double decay)
      : A_(A), directions_({A, A}, 1 / std::sqrt(static_cast<float>(A))), means_({C, A}, 0.1f), drift_({C, A}, 0.0005f) {
    for (std::int64_t k = 0; k < A; ++k) deviations_.push_back(std::pow(static_cast<float>(k + 1), static_cast<float>(-decay / 2)));
  }
  void next(const Context& context, Head& head) {
    const std::int64_t N = View(head.labels).extent(0), C = View(head.weight).extent(0);
    Array along({N, A_});
    for (std::int64_t i = 0; i < N; ++i) {
      const auto c = static_cast<std::int64_t>(random_() % static_cast<std::uint32_t>(C));
      head.labels.data()[i] = static_cast<std::int32_t>(c);
      // NOTE: the same directions for all, but not the same ones are long.
      for (std::int64_t k = 0; k < A_; ++k) along.data()[i * A_ + (k + 17 * c) % A_] = deviations_[static_cast<std::size_t>(k)] * normal_(random_);
    }
    run(context, Linear{.x = along, .weight = directions_, .y = head.features});
    for (std::int64_t i = 0; i < N; ++i) {
      for (std::int64_t a = 0; a < A_; ++a) head.features.data()[i * A_ + a] += means_.data()[head.labels.data()[i] * A_ + a];
    }
    for (std::int64_t at = 0; at < C * A_; ++at) means_.data()[at] += drift_.data()[at];
  }

 private:
  std::int64_t A_;
  Array directions_, means_, drift_;
  std::vector<float> deviations_;
  std::mt19937 random_{3};
  std::normal_distribution<float> normal_;
};

// |a - b| / |b|, of all elements.
double relative_error(const View& a, const View& b) {
  double squares = 0, scale = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    squares += std::pow(a.at_offset(i) - b.at_offset(i), 2);
    scale += std::pow(b.at_offset(i), 2);
  }
  return std::sqrt(squares / scale);
}

// What R directions (0: the diagonal alone) and the full covariance make of the same stream. W learns on the way, from the full covariance.
struct Comparison {
  double q_error = 0, loss_error = 0;
};
Comparison compare(std::int64_t N, std::int64_t C, std::int64_t A, std::int64_t R, double decay) {
  constexpr int kSteps = 100;
  constexpr float kRate = 0.5f;
  const Context context(Device::cpu);
  Head full(N, C, A, true), other(N, C, A, false, R);
  Stream stream(C, A, decay);
  for (int step = 0; step < kSteps; ++step) {
    stream.next(context, full);
    std::copy_n(full.features.data(), N * A, other.features.data());
    std::copy_n(full.labels.data(), N, other.labels.data());
    std::copy_n(full.weight.data(), C * A, other.weight.data());
    for (Head* head : {&full, &other}) {
      head->forward(context);
      head->loss_of(context, head->augmented);
    }
    if (step + 1 == kSteps) break;
    full.backward(context);
    for (std::int64_t i = 0; i < C * A; ++i) full.weight.data()[i] -= kRate * full.dweight.data()[i];
  }
  // Q of the last batch is what was added to its logits.
  for (Head* head : {&full, &other}) {
    for (std::int64_t i = 0; i < N * C; ++i) head->augmented.data()[i] -= head->logits.data()[i];
  }
  return {relative_error(other.augmented, full.augmented), relative_error(other.loss, full.loss)};
}

// The head with R directions, timed, and its errors beside the full covariance's.
void time_low_rank(benchmark::State& state) {
  const std::int64_t R = state.range(3);
  time_part(state, kAll, false, R);
  // NOTE: where the full one has room; and once, however often it is timed.
  if (state.range(1) * state.range(2) * state.range(2) > std::int64_t{1} << 28) return;
  using Sizes = std::array<std::int64_t, 4>;
  static std::map<Sizes, std::array<Comparison, 2>> known;
  const auto [found, is_new] = known.try_emplace(Sizes{state.range(0), state.range(1), state.range(2), R});
  for (int decay = 1; decay <= 2 && is_new; ++decay)
    found->second[static_cast<std::size_t>(decay - 1)] = compare(state.range(0), state.range(1), state.range(2), R, decay);
  const auto& [slow, fast] = found->second;
  state.counters["q_error_slow"] = slow.q_error;
  state.counters["q_error_fast"] = fast.q_error;
  state.counters["loss_error_slow"] = slow.loss_error;
  state.counters["loss_error_fast"] = fast.loss_error;
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
  for (const auto& [N, C, A] : {std::array<std::int64_t, 3>{128, 10, 64}, {128, 100, 640}, {256, 1000, 2048}}) {
    for (const std::int64_t R : {0, 4, 16, 64}) {
      if (1 + R >= A) continue;
      benchmark::RegisterBenchmark("isda_head_low_rank", time_low_rank)
          ->ArgNames({"N", "C", "A", "R"})
          ->Args({N, C, A, R})
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
    }
  }
  return true;
}();

}  // namespace
}  // namespace isda::kernels
