// SPDX-License-Identifier: Apache-2.0
// `isda loss`: one step of the ISDA loss on tensors from a file, for people with numpy.
//
//   in    features (N,A) f32|f64   labels (N) i64|i32   weight (C,A)   bias (C)   ratio, one number
//         optional: covariance (C,A,A), (C,A) or (C,1+R,A)   mean (C,A)   count (C); what is not there starts at zero
//   out   loss ()   logits (N,C)   augmented_logits (N,C)   grad_features (N,A)   grad_weight (C,A)   grad_bias (C)
//         covariance, mean, count as they are after the batch
//
// The formulas are in kernels/isda/isda.h. Everything is computed and written in the type of the features.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "apps/command.h"
#include "core/safetensors.h"
#include "core/tensor.h"
#include "kernels/isda/isda.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "losses/covariance.h"
#include "training/device_choice.h"

namespace isda {
namespace {

constexpr auto kDetails =
    "IN holds features (N,A) f32 or f64, labels (N) i64, weight (C,A), bias (C), ratio (a number) and, to go on from earlier\n"
    "batches, covariance (C,A,A) or (C,A) or (C,1+R,A), mean (C,A) and count (C), which start at zero where they are missing.\n"
    "OUT receives loss, logits (N,C), augmented_logits (N,C), grad_features, grad_weight, grad_bias, covariance, mean and count,\n"
    "all in the type of the features. The statistics are updated from the batch first; the loss is computed with them.";

const std::vector<std::string> kInputs{"features", "labels", "weight", "bias", "ratio", "covariance", "mean", "count"};
// NOTE: an earlier output with new features in it is a good input.
const std::vector<std::string> kOnlyOutputs{"loss", "logits", "augmented_logits", "grad_features", "grad_weight", "grad_bias"};

struct Flags {
  std::string input, output;
  std::string covariance;
  std::string device = "auto";
  int threads = 0;
};

void add_flags(CLI::App& app, Flags& flags) {
  app.add_option("IN", flags.input, "safetensors file to read")->required();
  app.add_option("OUT", flags.output, "safetensors file to write")->required();
  const auto names_covariance = [](const std::string& text) -> std::string {
    try {
      covariance_of(text);
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  };
  app.add_option("--covariance", flags.covariance, "full, diagonal, or lowrank:R: the diagonal and R directions; default: as in IN, full where IN has none")
      ->check(names_covariance);
  app.add_option("--device", flags.device, "auto takes reference for f64, which only that computes, and for f32 the card or the cpu")
      ->check(one_of({"auto", "reference", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--threads", flags.threads, "threads on the cpu device; 0 = all cores")->check(CLI::Range(0, 1024))->capture_default_str();
  app.footer(kDetails);
}

// The tensors of IN, each checked.
class Input {
 public:
  explicit Input(const std::string& path) : file_(Safetensors::open(path)) {
    for (const auto& entry : file_.entries()) {
      const auto is = [&](const std::string& name) { return name == entry.name; };
      const bool is_known = std::any_of(kInputs.begin(), kInputs.end(), is) || std::any_of(kOnlyOutputs.begin(), kOnlyOutputs.end(), is);
      require(is_known, "{}: unknown tensor {}, expected {}{}", path, entry.name, fmt::join(kInputs, ", "), suggestion(entry.name, kInputs));
    }
  }

  bool contains(const char* name) const { return file_.contains(name); }
  ConstView view(const char* name) const { return file_.view(name); }

  ConstView matrix(const char* name, const char* meaning) const {
    const ConstView view = file_.view(name);
    require(view.shape().rank() == 2 && view.size() > 0, "{}: {} is {}, expected {}, none of them 0", path(), name, view.shape(), meaning);
    return view;
  }

  ConstView shaped(const char* name, const Shape& expected, const std::string& meaning) const {
    const ConstView view = file_.view(name);
    require(view.shape() == expected, "{}: {} is {}, expected {}: {}", path(), name, view.shape(), expected, meaning);
    return view;
  }

  void require_type(const char* name, const ConstView& view, std::initializer_list<DType> types) const {
    std::string words;
    for (const DType type : types) {
      if (view.type() == type) return;
      words += fmt::format("{}{}", words.empty() ? "" : " or ", name_of(type));
    }
    fail("{}: {} is {}, expected {}", path(), name, name_of(view.type()), words);
  }

  std::string path() const { return file_.path().string(); }

 private:
  Safetensors file_;
};

struct Batch {
  Tensor features, labels, weight, bias, ratio;
  Tensor covariance, mean, count;  // changed in place
  std::string covariance_kind;
  std::string device_reason;
};

Tensor read_labels(const Input& in, std::int64_t samples, std::int64_t classes, Device device) {
  const ConstView labels = in.shaped("labels", {samples}, "(N) of the features");
  in.require_type("labels", labels, {DType::i64, DType::i32});
  for (std::int64_t i = 0; i < samples; ++i) {
    const double label = labels.at(i);
    require(label >= 0 && label < static_cast<double>(classes), "{}: labels[{}] is {}, expected 0 to {}: weight has {} rows", in.path(), i, label, classes - 1,
            classes);
  }
  Tensor result({samples}, DType::i32, device);
  copy(labels, result);
  return result;
}

Tensor read_ratio(const Input& in, DType type, Device device) {
  const ConstView ratio = in.view("ratio");
  in.require_type("ratio", ratio, {DType::f64, DType::f32});
  require(ratio.size() == 1, "{}: ratio is {}, expected one number", in.path(), ratio.shape());
  const double value = ratio.at_offset(0);
  require(std::isfinite(value) && value >= 0, "{}: ratio is {}, expected 0 or more", in.path(), value);
  return Tensor::full({1}, value, type, device);
}

Tensor read_count(const Input& in, std::int64_t classes, DType type, Device device) {
  const ConstView count = in.shaped("count", {classes}, "(C) of the weight");
  in.require_type("count", count, {DType::f32, DType::f64, DType::i64, DType::i32});
  for (std::int64_t c = 0; c < classes; ++c) {
    require(std::isfinite(count.at(c)) && count.at(c) >= 0, "{}: count[{}] is {}, expected 0 or more", in.path(), c, count.at(c));
  }
  Tensor result({classes}, type, device);
  copy(count, result);
  return result;
}

// --covariance, or what the shape of the covariance in IN says, or full.
Covariance covariance_for(const Input& in, const std::string& flag, std::int64_t A) {
  if (!flag.empty()) return covariance_of(flag);
  if (!in.contains("covariance")) return Covariance::full;
  const Shape shape = in.view("covariance").shape();
  if (shape.rank() == 2) return Covariance::diagonal;
  return kernels::is_low_rank_shape(shape, A) ? Covariance::low_rank(shape[1] - 1) : Covariance::full;
}

DeviceChoice device_for(const Input& in, const std::string& flag, DType type) {
  if (flag == "auto" && type == DType::f64) return {Device::reference, "auto: only it computes in f64"};
  require(flag == "reference" || type != DType::f64, "{}: features is f64, which --device {} does not compute; use --device reference, or f32 features",
          in.path(), flag);
  return choose_device(flag);
}

Batch read_batch(const Flags& flags) {
  const Input in(flags.input);
  const ConstView features = in.matrix("features", "(N,A): samples, feature width");
  in.require_type("features", features, {DType::f32, DType::f64});
  const DType type = features.type();
  const DeviceChoice choice = device_for(in, flags.device, type);
  const Device device = choice.device;
  const ConstView weight = in.matrix("weight", "(C,A): classes, feature width");
  const auto [N, A] = features.extents<2>();
  const std::int64_t C = weight.extent(0);
  require(weight.extent(1) == A, "{}: weight is {}, expected ({},{}): (C,A) with the A of features {}", in.path(), weight.shape(), C, A, features.shape());

  const auto read = [&](const char* name, const Shape& shape, const std::string& meaning) {
    const ConstView view = in.shaped(name, shape, meaning);
    require(view.type() == type, "{}: {} is {}, expected {} like the features", in.path(), name, name_of(view.type()), name_of(type));
    return Tensor::copy_of(view, device);
  };
  const auto read_or_zero = [&](const char* name, const Shape& shape, const std::string& meaning) {
    return in.contains(name) ? read(name, shape, meaning) : Tensor::zeros(shape, type, device);
  };
  const Covariance covariance = covariance_for(in, flags.covariance, A);
  Batch batch;
  batch.device_reason = choice.reason;
  batch.features = Tensor::copy_of(features, device);
  batch.weight = read("weight", weight.shape(), "");
  batch.bias = read("bias", {C}, "(C) of the weight");
  batch.labels = read_labels(in, N, C, device);
  batch.ratio = read_ratio(in, type, device);
  batch.covariance = read_or_zero("covariance", covariance.shape(C, A), fmt::format("--covariance {}", covariance.text()));
  batch.covariance_kind = covariance.text();
  batch.mean = read_or_zero("mean", {C, A}, "(C,A) of the weight");
  batch.count = in.contains("count") ? read_count(in, C, type, device) : Tensor::zeros({C}, type, device);
  if (!in.contains("count") && (in.contains("covariance") || in.contains("mean"))) {
    fmt::print(stderr, "isda loss: {} has no count: classes of this batch forget the covariance and mean given\n", in.path());
  }
  return batch;
}

// A NaN spoils no class but its own, and is told.
void report_not_finite(const Flags& flags, const Tensor& features) {
  const Tensor on_host = features.on_host();
  const ConstView view = on_host;
  std::int64_t found = 0, first = 0;
  for (std::int64_t i = view.size() - 1; i >= 0; --i) {
    if (std::isfinite(view.at_offset(i))) continue;
    ++found;
    first = i;
  }
  if (found == 0) return;
  fmt::print(stderr, "isda loss: {}: {} of the features are NaN or infinite, the first of them features[{},{}]\n", flags.input, found, first / view.extent(1),
             first % view.extent(1));
}

int run_loss(const Flags& flags) {
  set_threads(flags.threads);
  const Batch batch = read_batch(flags);
  report_not_finite(flags, batch.features);
  const DType type = batch.features.type();
  const Device device = batch.features.device();
  const Context& context = batch.features.context();
  const auto [N, A] = batch.features.shape().extents<2>();
  const std::int64_t C = batch.weight.extent(0);

  // Statistics first, then the logits and their correction.
  const Tensor logits({N, C}, type, device), augmented_logits({N, C}, type, device);
  const Tensor slots({C}, DType::i32, device);
  const std::int64_t width_of_u = kernels::width_of_u(batch.covariance);
  const Tensor u = width_of_u > 0 ? Tensor({std::min(N, C), C, width_of_u}, type, device) : Tensor();
  run(context, kernels::IsdaUpdateForward{.features = batch.features,
                                          .labels = batch.labels,
                                          .weight = batch.weight,
                                          .bias = batch.bias,
                                          .ratio = batch.ratio,
                                          .count = batch.count,
                                          .mean = batch.mean,
                                          .covariance = batch.covariance,
                                          .logits = logits,
                                          .augmented_logits = augmented_logits,
                                          .slots = slots,
                                          .u = u});

  // The loss and its gradients.
  const Tensor loss({1}, type, device), daugmented({N, C}, type, device);
  run(context, kernels::SoftmaxCrossEntropy{.logits = augmented_logits, .labels = batch.labels, .loss = loss, .dlogits = daugmented});
  const Tensor dfeatures({N, A}, type, device), dweight({C, A}, type, device), dbias({C}, type, device);
  run(context, kernels::IsdaBackward{.daugmented = daugmented,
                                     .features = batch.features,
                                     .labels = batch.labels,
                                     .weight = batch.weight,
                                     .covariance = batch.covariance,
                                     .slots = slots,
                                     .u = u,
                                     .ratio = batch.ratio,
                                     .dfeatures = dfeatures,
                                     .dweight = dweight,
                                     .dbias = dbias});

  const std::vector<NamedView> outputs{{"loss", loss.reshaped({})},      {"logits", logits},       {"augmented_logits", augmented_logits},
                                       {"grad_features", dfeatures},     {"grad_weight", dweight}, {"grad_bias", dbias},
                                       {"covariance", batch.covariance}, {"mean", batch.mean},     {"count", batch.count}};
  write_safetensors(flags.output, outputs);
  fmt::print("loss {:.9g}: {} samples, {} classes, width {}, {} covariance, {} on {} ({})\n", loss.item(), N, C, A, batch.covariance_kind, name_of(type),
             name_of(device), batch.device_reason);
  return 0;
}

const Subcommand loss{
    {.name = "loss", .help = "the ISDA loss, its gradients and statistics, from tensors in a file", .declare = with_flags(add_flags, run_loss)}};

}  // namespace
}  // namespace isda
