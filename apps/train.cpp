// SPDX-License-Identifier: Apache-2.0
// isda train: flags to a TrainConfig, a run, and its progress on the terminal.
//
// The flags are those of training/config.h's table. What is not given comes from --config, and what that does not name from the model's
// recipe. SIGINT and SIGTERM end the run after the current step with what was learned saved, with status 130 and 143.
#include <fmt/ranges.h>
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/command.h"
#include "apps/progress.h"
#include "training/recipe.h"
#include "training/trainer.h"

namespace isda {
namespace {

volatile sig_atomic_t received_signal = 0;

// The first signal asks for an orderly end; a second one ends the program at once.
void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = [](int signal) { received_signal = signal; };
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// Pixels, where --cutout is given without a number.
constexpr const char* kUsualCutout = "16";

struct Flags {
  TrainConfig config;  // holds what was given on the command line; `given` tells which
  std::string config_file;
  int layers = 0, widen_factor = 0, growth_rate = 0, length = 0;
  bool autoaugment = false;
  bool resume = false;
  CLI::App* app = nullptr;
};

std::string flag_of(std::string field) {
  std::replace(field.begin(), field.end(), '_', '-');
  return "--" + field;
}

void add_flags(CLI::App& app, Flags& flags) {
  flags.app = &app;
  app.add_option("--config", flags.config_file, "take the flags that are not given from this JSON file, e.g. the config.json of a run");
  app.add_flag("--resume", flags.resume, "go on with the run in --output");
  app.add_option("--layers", flags.layers, "depth of a family: --model resnet --layers 32 is --model resnet32")->check(CLI::PositiveNumber);
  app.add_option("--widen-factor", flags.widen_factor, "width of a family: --model wide_resnet --layers 28 --widen-factor 10 is --model wide_resnet28_10")
      ->check(CLI::PositiveNumber);
  app.add_option("--growth-rate", flags.growth_rate, "growth of a family: --model densenet_bc --layers 100 --growth-rate 12 is --model densenet_bc100_12")
      ->check(CLI::PositiveNumber);
  // NOTE: as the authors' code of ISDA has them: what --autoaugment also does is a cutout, and how large is said by --length.
  app.add_flag("--autoaugment", flags.autoaugment, "--policy autoaugment-cifar10 --cutout");
  app.add_option("--length", flags.length, "the side of the squares that --cutout and --autoaugment cut")->check(CLI::PositiveNumber);
  visit_fields(flags.config, [&](const char* name, auto& member, const char* description) {
    using Member = std::remove_reference_t<decltype(member)>;
    const std::string flag = flag_of(name);
    if constexpr (std::is_same_v<Member, bool>)
      app.add_flag(fmt::format("{},!--no-{}", flag, flag.substr(2)), member, description);
    else if constexpr (std::is_same_v<Member, std::vector<std::int64_t>>)
      app.add_option(flag, member, description)->delimiter(',');
    else if (flag == "--cutout")
      app.add_option(flag, member, description)->expected(0, 1)->default_str(kUsualCutout)->option_text("[LENGTH]");
    else
      app.add_option(flag, member, description);
  });
}

// What the flags of the authors' code mean, into the fields that are given on the command line.
void add_authors_flags(const Flags& flags, nlohmann::json& given) {
  if (flags.autoaugment) {
    require(!given.contains("policy"), "--autoaugment is a --policy, and --policy is given too");
    given["policy"] = "autoaugment-cifar10";
    if (!given.contains("cutout")) given["cutout"] = std::stoll(kUsualCutout);
  }
  if (flags.length == 0) return;
  require(given.contains("cutout"), "--length is the side of what --cutout cuts, and there is no --cutout");
  given["cutout"] = flags.length;
}

nlohmann::json read_json(const std::string& path) {
  std::ifstream stream(path);
  require(static_cast<bool>(stream), "[{}] cannot be read", path);
  const auto json = nlohmann::json::parse(stream, nullptr, false);
  require(!json.is_discarded(), "[{}] is not JSON", path);
  return json;
}

// The recipe of the model, then the file, then the command line.
TrainConfig resolve(const Flags& flags) {
  const nlohmann::json file = flags.config_file.empty() ? nlohmann::json::object() : read_json(flags.config_file);
  const auto is_given = [&](const char* name) { return flags.app->count(flag_of(name)) > 0; };

  std::string model = TrainConfig().model;
  if (file.contains("model") && file["model"].is_string()) model = file["model"].get<std::string>();
  if (is_given("model")) model = flags.config.model;
  if (flags.layers > 0) model += std::to_string(flags.layers);
  if (flags.widen_factor > 0) model += fmt::format("_{}", flags.widen_factor);
  if (flags.growth_rate > 0) model += fmt::format("_{}", flags.growth_rate);
  const TrainConfig recipe = recipe_of(model);

  TrainConfig config = recipe;
  set_from_json(config, file, flags.config_file);
  const nlohmann::json given = to_json(flags.config);
  nlohmann::json overrides = nlohmann::json::object();
  visit_fields(config, [&](const char* name, auto&, const char*) {
    if (is_given(name)) overrides[name] = given[name];
  });
  add_authors_flags(flags, overrides);
  set_from_json(config, overrides, "command line");
  config.model = recipe.model;
  if (!overrides.contains("milestones") && !file.contains("milestones")) {
    config.milestones = scaled_milestones(recipe.milestones, recipe.epochs, config.epochs);
  }
  if (config.output.empty()) config.output = fmt::format("runs/{}-{}-{}-{}", config.dataset, config.model, config.loss, config.seed);
  return config;
}

void print_recipe(const TrainConfig& config) {
  std::string schedule = config.schedule;
  if (config.schedule == "step") schedule = fmt::format("x{:g} at epoch {}", config.lr_factor, fmt::join(config.milestones, ", "));
  const std::string dropout = config.dropout > 0 ? fmt::format(", dropout {:g}", config.dropout) : "";
  fmt::print("recipe     {} epochs, batch {}, lr {:g} ({}), momentum {:g}{}, weight decay {:g}{}, seed {}\n", config.epochs, config.batch_size, config.lr,
             schedule, config.momentum, config.nesterov ? " Nesterov" : "", config.weight_decay, dropout, config.seed);
}

void print_augmentation(const TrainConfig& config) {
  std::vector<std::string> parts;
  if (config.augment) parts.emplace_back("crop, flip");
  if (config.policy != "none") parts.push_back(config.policy);
  if (config.color_jitter > 0) parts.push_back(fmt::format("colour jitter {:g}", config.color_jitter));
  if (config.cutout > 0) parts.push_back(fmt::format("cutout {}{}", config.cutout, config.cutout_holes > 1 ? fmt::format(" x {}", config.cutout_holes) : ""));
  if (config.mixup > 0) parts.push_back(fmt::format("mixup {:g}", config.mixup));
  if (config.cutmix > 0) parts.push_back(fmt::format("cutmix {:g}", config.cutmix));
  fmt::print("augment    {}\n", parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, ", ")));
}

// What is wrong with the flags is wrong usage, not a run that failed.
TrainConfig checked_config(const Flags& flags) {
  try {
    TrainConfig config = resolve(flags);
    check(config);
    return config;
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

int run_train(const Flags& flags) {
  const TrainConfig config = checked_config(flags);
  print_recipe(config);
  print_augmentation(config);
  install_signal_handlers();

  Progress progress(config.validation > 0 ? "val" : "test");
  const TrainObserver observer{
      .on_message =
          [](const std::string& line) {
            fmt::print("{}\n", line);
            std::fflush(stdout);
          },
      .on_step = [&](const StepReport& report) { progress.step(report); },
      .on_epoch = [&](const EpochMetrics& metrics, bool is_best) { progress.epoch(metrics, config.epochs, is_best); },
      .stop_signal = [] { return static_cast<int>(received_signal); },
  };
  const TrainResult result = train(config, flags.resume, observer);
  if (result.stopped_by == 0) return 0;
  progress.clear();
  fmt::print("stopped by {}; what was learned is in {}. Go on with --resume --output {}\n", result.stopped_by == SIGINT ? "SIGINT" : "SIGTERM", config.output,
             config.output);
  return 128 + result.stopped_by;
}

const Subcommand train_command{{
    .name = "train",
    .help = "train a network",
    .declare = with_flags(add_flags, run_train),
    .aliases = {{"--cos-lr", {"--schedule", "cosine"}},
                {"--n-holes", {"--cutout-holes"}},
                {"--droprate", {"--dropout"}},
                {"--learning-rate", {"--lr"}},
                {"--wd", {"--weight-decay"}},
                {"--weights", {"--init"}},
                {"--weights-without-classifier", {"--no-init-classifier"}}},
}};

}  // namespace
}  // namespace isda
