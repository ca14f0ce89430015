// SPDX-License-Identifier: Apache-2.0
#include "training/config.h"

#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <type_traits>

#include "kernels/common/error.h"
#include "kernels/common/f32_products.h"
#include "kernels/common/nearest.h"
#include "kernels/image_policy/policy.h"
#include "losses/covariance.h"

namespace isda {

namespace {

void check_choice(const char* name, const std::string& value, const std::vector<std::string>& choices) {
  std::string list;
  for (const auto& choice : choices) {
    if (value == choice) return;
    list += (list.empty() ? "" : ", ") + choice;
  }
  const std::string near = nearest(value, choices);
  fail("--{} is '{}', expected one of {}{}", name, value, list, near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

void check_covariance(const std::string& value) {
  try {
    covariance_of(value);
  } catch (const Error& error) {
    fail("--covariance is {}", error.what());
  }
}

void check_policy(const std::string& value) {
  try {
    kernels::policy_of(value);
  } catch (const Error& error) {
    fail("--policy: {}", error.what());
  }
}

std::vector<std::string> names_of_f32_products() {
  std::vector<std::string> names;
  for (const F32Products products : kF32Products) names.emplace_back(name_of(products));
  return names;
}

template <class Value>
void check_range(const char* name, Value value, double low, double high) {
  const auto number = static_cast<double>(value);
  require(number >= low && number <= high, "--{} is {}, expected {} to {}", name, value, low, high);
}

}  // namespace

namespace {

// A loss with a number behind a colon.
struct NumberedLoss {
  const char *name, *number;  // the number's meaning
  double low, high;
  bool is_whole;
  const char* example;
};
constexpr NumberedLoss kNumberedLosses[] = {
    {"isda-sampled", "how many draws a sample", 1, 1000000, true, "isda-sampled:8"},
    {"focal", "its gamma", 0, 100, false, "focal:2"},
    {"large-margin", "its margin", 1, 4, true, "large-margin:4"},
    {"center", "its lambda", 0, 1000000, false, "center:0.1"},
};

// All of `text` as a number; none where it is not one.
std::optional<double> number_of(const std::string& text, bool is_whole) {
  const char* const end = text.data() + text.size();
  double number = 0;
  const auto [behind, error] = std::from_chars(text.data(), end, number, is_whole ? std::chars_format::fixed : std::chars_format::general);
  if (error != std::errc() || behind != end || !std::isfinite(number) || (is_whole && number != std::floor(number))) return std::nullopt;
  return number;
}

}  // namespace

NamedLoss loss_of(const std::string& text) {
  const std::string name = text.substr(0, text.find(':'));
  for (const auto& [known, meaning, low, high, is_whole, example] : kNumberedLosses) {
    if (name != known) continue;
    const std::string behind = text.size() > name.size() ? text.substr(name.size() + 1) : "";
    const std::optional<double> number = number_of(behind, is_whole);
    require(number && *number >= low && *number <= high, "--loss {} says {} by '{}', expected a {}number from {:.0f} to {:.0f}, as in {}", text, meaning,
            behind, is_whole ? "whole " : "", low, high, example);
    return {name, *number};
  }
  std::vector<std::string> choices = {"ce", "isda"};
  for (const NumberedLoss& loss : kNumberedLosses) choices.emplace_back(loss.example);
  check_choice("loss", text, choices);
  return {text};
}

void check(const TrainConfig& config) {
  loss_of(config.loss);
  check_covariance(config.covariance);
  require(config.covariance_pass != "ahead" || config.loss == "isda", "--covariance-pass ahead is for --loss isda, got {}", config.loss);
  check_choice("covariance-pass", config.covariance_pass, {"auto", "ahead", "inline"});
  require(config.covariance_pass != "ahead" || config.covariance == "full",
          "--covariance-pass ahead is for --covariance full, got {}: the others are not passed over", config.covariance);
  check_choice("schedule", config.schedule, {"constant", "step", "cosine"});
  check_choice("device", config.device, {"auto", "cpu", "cuda", "reference"});
  check_choice("precision", config.precision, {"fp32", "bf16", "fp64"});
  require(config.precision != "fp64" || config.device == "reference", "--precision fp64 is for --device reference, got --device {}", config.device);
  require(config.precision != "bf16" || config.device != "cpu", "--precision bf16 is for --device cuda, got --device cpu, which computes in fp32");
  check_choice("f32-products", config.f32_products, names_of_f32_products());
  require(f32_products_of(config.f32_products) == F32Products::three_tf32 || config.device == "cuda" || config.device == "auto",
          "--f32-products {} is for --device cuda, got --device {}: the card alone has a choice", config.f32_products, config.device);
  require(config.init_classifier || !config.init.empty(), "--no-init-classifier goes with --init, which was not given");
  check_range("lambda-0", config.lambda_0, 0, 1e6);
  check_range("label-smoothing", config.label_smoothing, 0, 0.999);
  require(config.label_smoothing == 0 || config.loss == "ce", "--label-smoothing goes with --loss ce, got --loss {}", config.loss);
  check_range("center-rate", config.center_rate, 0, 1);
  check_range("dropout", config.dropout, 0, 0.999);
  check_range("epochs", config.epochs, 1, 1e6);
  check_range("batch-size", config.batch_size, 1, 1e6);
  check_range("lr", config.lr, 0, 1e6);
  check_range("momentum", config.momentum, 0, 1);
  check_range("weight-decay", config.weight_decay, 0, 1e6);
  check_range("lr-factor", config.lr_factor, 0, 1e6);
  check_range("workers", config.workers, 0, 1024);
  check_range("threads", config.threads, 0, 4096);
  check_range("max-steps", config.max_steps, 0, 1e15);
  check_range("train-limit", config.train_limit, 0, 1e12);
  check_range("image-size", config.image_size, 1, 1 << 14);
  check_range("resize", config.resize, 1, 1 << 14);
  require(config.resize >= config.image_size, "--resize is {}, expected --image-size, which is {}, or more", config.resize, config.image_size);
  check_choice("on-corrupt", config.on_corrupt, {"fail", "skip"});
  check_range("validation", config.validation, 0, 1e12);
  check_range("log-steps", config.log_steps, 0, 1e12);
  check_policy(config.policy);
  check_range("color-jitter", config.color_jitter, 0, 1);
  check_range("cutout", config.cutout, 0, 1 << 20);
  check_range("cutout-holes", config.cutout_holes, 1, 1024);
  check_range("mixup", config.mixup, 0, 1e6);
  check_range("cutmix", config.cutmix, 0, 1e6);
  require((config.mixup == 0 && config.cutmix == 0) || config.loss == "ce", "--{} goes with --loss ce, got --loss {}: {}",
          config.mixup > 0 ? "mixup" : "cutmix", config.loss,
          config.loss.starts_with("isda") ? "ISDA learns how each class varies from images of one label, and a mixed image has two"
                                          : "a mixed image has two labels, and this loss takes one");
  for (const auto milestone : config.milestones) check_range("milestones", milestone, 1, 1e6);
}

nlohmann::json to_json(const TrainConfig& config) {
  nlohmann::json json;
  visit_fields(config, [&](const char* name, const auto& value, const char*) { json[name] = value; });
  return json;
}

void set_from_json(TrainConfig& config, const nlohmann::json& json, const std::string& file) {
  require(json.is_object(), "[{}] is not a JSON object of flags", file);
  std::vector<std::string> names;
  visit_fields(config, [&](const char* name, auto&, const char*) { names.emplace_back(name); });
  for (const auto& [key, value] : json.items()) {
    bool is_known = false;
    visit_fields(config, [&, &key = key, &value = value](const char* name, auto& member, const char*) {
      if (key != name) return;
      is_known = true;
      using Member = std::remove_reference_t<decltype(member)>;
      try {
        // NOTE: nlohmann converts between numbers and bool silently; a seed of 1.5 is a mistake.
        if constexpr (std::is_same_v<Member, bool>)
          require(value.is_boolean(), "[{}] {} is {}, expected true or false", file, key, value.dump());
        else if constexpr (std::is_integral_v<Member>)
          require(value.is_number_integer(), "[{}] {} is {}, expected an integer", file, key, value.dump());
        if constexpr (std::is_unsigned_v<Member> && !std::is_same_v<Member, bool>)
          require(!value.is_number_integer() || value.is_number_unsigned(), "[{}] {} is {}, expected 0 or more", file, key, value.dump());
        member = value.template get<Member>();
      } catch (const nlohmann::json::exception&) {
        fail("[{}] {} is {}, which is of the wrong type", file, key, value.dump());
      }
    });
    if (!is_known) {
      const std::string near = nearest(key, names);
      fail("[{}] there is no '{}'{}", file, key, near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
    }
  }
}

}  // namespace isda
