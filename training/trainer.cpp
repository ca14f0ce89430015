// SPDX-License-Identifier: Apache-2.0
#include "training/trainer.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/atomic_file.h"
#include "core/autograd.h"
#include "datasets/loader.h"
#include "datasets/validation.h"
#include "models/registry.h"
#include "training/checkpoint.h"
#include "training/device_choice.h"
#include "training/evaluate.h"
#include "training/exchange.h"
#include "training/loss_choice.h"
#include "training/optimizer.h"
#include "training/run_directory.h"
#include "training/schedule.h"
#include "training/step.h"

namespace isda {

namespace {

using Clock = std::chrono::steady_clock;

// How many steps the card may be ahead of what is known of them.
constexpr std::int64_t kJournalRows = 64;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

Placement placement_of(const TrainConfig& config, const DeviceChoice& choice) {
  if (config.precision == "fp64") return {choice.device, DType::f64};
  if (config.precision != "bf16") return {choice.device, DType::f32};
  require(choice.device != Device::cpu, "--precision bf16 needs a card, the cpu computes in fp32, and there is none ({}); train with --precision fp32",
          choice.reason);
  return {choice.device, DType::bf16};
}

// What --device comes to. NOTE: `auto` may come to a device that has no choice of products.
DeviceChoice device_of(const TrainConfig& config) {
  const DeviceChoice choice = choose_device(config.device);
  require(choice.device == Device::cuda || f32_products_of(config.f32_products) == F32Products::three_tf32,
          "--f32-products {} is for the card, and the device is {} ({})", config.f32_products, name_of(choice.device), choice.reason);
  return choice;
}

// The images of a split where the step can make its batches from them: on the card, where they fit.
std::unique_ptr<ResidentImages> resident_images(const Dataset& dataset, const Split& split, Device device, const Augmentation& augmentation = {}) {
  if (device != Device::cuda || !ResidentImages::fit(split)) return nullptr;
  return std::make_unique<ResidentImages>(split, dataset.mean, dataset.deviation, device, augmentation);
}

Augmentation augmentation_in(const TrainConfig& config) {
  return augmentation_of({.policy = config.policy, .color_jitter = config.color_jitter, .cutout = config.cutout, .cutout_holes = config.cutout_holes});
}

Dataset dataset_of(const TrainConfig& config) {
  Dataset dataset = load_dataset(config.dataset, config.data_dir, {.size = config.image_size, .resize_side = config.resize});
  if (config.validation > 0) hold_out(dataset, config.validation);
  return dataset;
}

// Fields that decide what a run computes: a resumed run must agree in them. The others (where, how long, how many threads) may change.
constexpr const char* kMayChange[] = {"data_dir",  "epochs", "workers", "threads",         "output",          "max_steps",
                                      "log_steps", "device", "init",    "init_classifier", "covariance_pass", "on_corrupt"};

void check_same_run(const nlohmann::json& before, const nlohmann::json& now, const std::string& file) {
  // NOTE: a field that there was not yet when the run was started was as it is by default.
  const nlohmann::json unset = to_json(TrainConfig());
  for (const auto& [key, value] : now.items()) {
    const nlohmann::json& had = before.contains(key) ? before[key] : unset[key];
    bool may_change = false;
    for (const char* name : kMayChange) may_change = may_change || key == name;
    require(may_change || had == value, "[{}] the run was started with {} = {}, and cannot be resumed with {}", file, key, had.dump(), value.dump());
  }
}

// How far a run has come: what is in state.safetensors beside tensors.
struct Progress {
  std::int64_t epoch = 0;      // finished epochs
  std::int64_t batch = 0;      // finished batches of the current one
  std::int64_t step = 0;       // finished steps
  std::int64_t step_rows = 0;  // rows of steps.csv
  double seconds = 0;          // of the current epoch, in this and earlier processes
  double best_top1 = -1;
  Tally tally;  // of the current epoch

  nlohmann::json to_json() const {
    return {{"epoch", epoch},     {"batch", batch},           {"step", step},          {"step_rows", step_rows}, {"seconds", seconds}, {"best_top1", best_top1},
            {"loss", tally.loss}, {"correct", tally.correct}, {"images", tally.images}};
  }
  static Progress from_json(const nlohmann::json& json) {
    Progress p;
    json.at("epoch").get_to(p.epoch);
    json.at("batch").get_to(p.batch);
    json.at("step").get_to(p.step);
    json.at("step_rows").get_to(p.step_rows);
    json.at("seconds").get_to(p.seconds);
    json.at("best_top1").get_to(p.best_top1);
    json.at("loss").get_to(p.tally.loss);
    json.at("correct").get_to(p.tally.correct);
    json.at("images").get_to(p.tally.images);
    return p;
  }
};

// A run under way. Members are made in the order in which they stand here.
class Training {
 public:
  Training(const TrainConfig& config, bool is_resumed, const TrainObserver& observer)
      : config_(config),
        observer_(observer),
        device_(device_of(config)),
        placement_(placement_of(config, device_)),
        scope_(placement_),
        dataset_(dataset_of(config)),
        directory_(config.output, is_resumed),
        network_(find_network(config.model).make({.classes = dataset_.classes(), .dropout = config.dropout, .seed = config.seed})),
        loss_(make_loss(config, *network_, placement_)),
        optimizer_(*network_, {.momentum = config.momentum, .weight_decay = config.weight_decay, .nesterov = config.nesterov}),
        train_images_(resident_images(dataset_, dataset_.train, device_.device, augmentation_in(config))),
        judging_images_(resident_images(dataset_, judging_split(), device_.device)),
        loader_(dataset_.train, dataset_.mean, dataset_.deviation,
                {.batch_size = config.batch_size,
                 .seed = config.seed,
                 .is_shuffled = config.shuffle,
                 .is_augmented = config.augment,
                 .augmentation = augmentation_in(config),
                 .limit = config.train_limit,
                 .workers = config.workers,
                 .replaces_corrupt = config.on_corrupt == "skip",
                 .type = placement_.type,
                 .makes_images = !train_images_}),
        step_(*network_, *loss_, optimizer_, train_images_.get(),
              {.placement = placement_,
               .seed = config.seed,
               .is_augmented = config.augment,
               .mix = {.mixup = config.mixup, .cutmix = config.cutmix},
               // NOTE: the host is the device where it is not the card, and has waited anyway.
               .journal_rows = device_.device == Device::cuda ? kJournalRows : 1}) {
    if (is_resumed)
      resume();
    else
      start();
  }

  TrainResult run() {
    TrainResult result;
    while (progress_.epoch < config_.epochs && !is_over()) {
      result.stopped_by = train_epoch();
      if (result.stopped_by != 0) break;
      result.epochs.push_back(finish_epoch());
    }
    return result;
  }

 private:
  // The weights that the run begins with.
  void initialise() {
    network_->initialise(config_.seed);
    if (config_.init.empty()) return;
    const std::string found = import_weights(Safetensors::open(config_.init), *network_, {.has_classifier = config_.init_classifier});
    message(fmt::format("weights    of {}: {}", config_.init, found));
  }

  void start() {
    initialise();
    write_atomically(directory_.config(), to_json(config_).dump(2) + "\n");
    open_tables();
    describe();
  }

  void resume() {
    const auto text = [&] {
      std::ifstream stream(directory_.config());
      require(static_cast<bool>(stream), "[{}] cannot be read: there is no run to resume", directory_.config().string());
      return std::string(std::istreambuf_iterator<char>(stream), {});
    }();
    const auto before = nlohmann::json::parse(text, nullptr, false);
    require(!before.is_discarded(), "[{}] is not JSON", directory_.config().string());
    check_same_run(before, to_json(config_), directory_.config().string());

    if (std::filesystem::exists(directory_.state())) {
      const Safetensors file = Safetensors::open(directory_.state());
      require(file.metadata().contains("progress"), "[{}] holds no progress: it is not the state of a run", file.path().string());
      load_weights(file, *network_);
      load_tensors(file, training_state());
      progress_ = Progress::from_json(nlohmann::json::parse(file.metadata().at("progress")));
    } else {
      initialise();
    }
    write_atomically(directory_.config(), to_json(config_).dump(2) + "\n");
    open_tables();
    describe();
    message(fmt::format("resumed after {} epochs and {} steps", progress_.epoch, progress_.step));
  }

  void open_tables() {
    metrics_.emplace(directory_.metrics(), metrics_header(), progress_.epoch);
    if (config_.log_steps > 0) steps_.emplace(directory_.steps(), "step,loss", progress_.step_rows);
  }

  void message(const std::string& line) const {
    if (observer_.on_message) observer_.on_message(line);
  }

  void describe() const {
    message(fmt::format("device     {} ({})", name_of(device_.device), device_.reason));
    if (device_.device == Device::cuda) message(fmt::format("products   of f32 by {}", config_.f32_products));
    message(fmt::format("data set   {}: {} training and {} test images, {} classes", dataset_.name, dataset_.train.size(), dataset_.test.size(),
                        dataset_.classes()));
    if (config_.validation > 0) message(fmt::format("validation {} of the training images, held out", dataset_.validation.size()));
    message(fmt::format("model      {}: {:.2f} M parameters, {} features", config_.model, static_cast<double>(network_->parameter_count()) * 1e-6,
                        network_->feature_width()));
    message(fmt::format("loss       {}", describe_loss(config_, *network_, device_.device)));
    if (const auto forecast = forecast_of(config_, *network_, placement_)) message(forecast->text());
    message(fmt::format("run        {}", directory_.path().string()));
  }

  // What an epoch ends with: the held-out images where there are any, else the test images.
  const Split& judging_split() const { return config_.validation > 0 ? dataset_.validation : dataset_.test; }

  bool is_over() const { return config_.max_steps > 0 && progress_.step + step_.unread() >= config_.max_steps; }

  // The steps of the current epoch, from where the run stands. Returns the signal that ended it early, or 0.
  int train_epoch() {
    network_->train();
    optimizer_.set_learning_rate(learning_rate(config_, progress_.epoch));
    loss_->set_progress(static_cast<double>(progress_.epoch) / static_cast<double>(config_.epochs));
    loader_.start(static_cast<std::int32_t>(progress_.epoch), progress_.batch);
    step_.set_epoch(static_cast<std::int32_t>(progress_.epoch));
    step_.set_step(progress_.step);
    begin_ = settled_ = Clock::now();
    epoch_seconds_ = 0;
    epoch_images_ = 0;
    while (!is_over()) {
      const Batch* batch = loader_.next();
      if (!batch) break;
      step_.run(*batch);
      unread_images_.push_back(batch->labels.size());
      if (step_.is_journal_full()) settle();
      if (const int signal = observer_.stop_signal ? observer_.stop_signal() : 0) {
        settle();
        save_last();
        return signal;
      }
    }
    settle();
    return 0;
  }

  // Waits for the steps that were enqueued, and accounts for them.
  void settle() {
    const std::vector<Journal::Entry> entries = step_.read_journal();
    epoch_seconds_ += seconds_since(settled_);
    settled_ = Clock::now();
    for (std::size_t i = 0; i < entries.size(); ++i) account(entries[i], unread_images_[i]);
    unread_images_.clear();
  }

  void account(const Journal::Entry& entry, std::int64_t images) {
    require(std::isfinite(entry.loss), "the loss is {} at step {} (epoch {}), learning rate {:g}: lower --lr; {} holds the last good epoch", entry.loss,
            progress_.step + 1, progress_.epoch + 1, optimizer_.learning_rate(), directory_.last().string());
    progress_.step += 1;
    progress_.batch += 1;
    progress_.tally.add(entry.loss, entry.correct, images);
    epoch_images_ += images;
    if (steps_ && progress_.step % config_.log_steps == 0) {
      steps_->add(fmt::format("{},{:.9g}", progress_.step, entry.loss));
      progress_.step_rows += 1;
    }
    if (observer_.on_step) observer_.on_step(report(entry.loss));
  }

  StepReport report(double loss) const {
    const double rate = static_cast<double>(epoch_images_) / epoch_seconds_;
    const std::int64_t images_left = (config_.epochs - progress_.epoch) * loader_.images() - progress_.tally.images;
    return {.epoch = progress_.epoch + 1,
            .epochs = config_.epochs,
            .step = progress_.batch,
            .steps_per_epoch = loader_.batches(),
            .loss = loss,
            .epoch_tally = progress_.tally,
            .images_per_second = rate,
            .seconds_left = static_cast<double>(images_left) / rate};
  }

  EpochMetrics finish_epoch() {
    const EvaluateOptions options{.batch_size = config_.batch_size, .workers = config_.workers, .placement = placement_, .images = judging_images_.get()};
    const Tally judged = evaluate(*network_, dataset_, judging_split(), options);
    const Tally train = progress_.tally;
    const bool is_best = judged.top1() > progress_.best_top1;
    const EpochMetrics metrics{.epoch = progress_.epoch + 1,
                               .step = progress_.step,
                               .lr = optimizer_.learning_rate(),
                               .ratio = loss_->ratio(),
                               .train_loss = train.mean_loss(),
                               .train_top1 = train.top1(),
                               .val_loss = judged.mean_loss(),
                               .val_top1 = judged.top1(),
                               .seconds = progress_.seconds + seconds_since(begin_),
                               .images_per_second = epoch_seconds_ > 0 ? static_cast<double>(epoch_images_) / epoch_seconds_ : 0,
                               .correction = correction_of(*loss_, *network_, dataset_, judging_split(), options)};
    // An epoch cut short by --max-steps counts as finished: there is no more to come.
    progress_.epoch += 1;
    progress_.batch = 0;
    progress_.seconds = 0;
    progress_.tally = {};
    progress_.best_top1 = std::max(progress_.best_top1, judged.top1());
    metrics_->add(metrics_row(metrics));
    save_last();
    if (is_best) save_weights(directory_.best(), *network_, weights_metadata());
    if (observer_.on_epoch) observer_.on_epoch(metrics, is_best);
    report_replaced();
    return metrics;
  }

  // NOTE: of a resumed epoch, those of the batches since.
  void report_replaced() const {
    if (loader_.replaced() == 0) return;
    message(fmt::format("corrupt    {} images of epoch {} could not be decoded, and others were taken in their place; the first: {}", loader_.replaced(),
                        progress_.epoch, loader_.first_replaced()));
  }

  std::vector<NamedTensor> training_state() const {
    std::vector<NamedTensor> state;
    for (const auto& [name, tensor] : optimizer_.state()) state.push_back({"momentum." + name, tensor});
    for (const auto& [name, tensor] : loss_->state()) state.push_back({"loss." + name, tensor});
    return state;
  }

  SafetensorsMetadata weights_metadata() const {
    SafetensorsMetadata metadata{{"format", "pt"},
                                 {"model", config_.model},
                                 {"dataset", config_.dataset},
                                 {"classes", std::to_string(network_->classes())},
                                 {"epoch", std::to_string(progress_.epoch)},
                                 {"step", std::to_string(progress_.step)}};
    if (dataset_.train.are_files()) metadata.insert({{"image_size", std::to_string(config_.image_size)}, {"resize", std::to_string(config_.resize)}});
    if (config_.validation > 0) metadata["validation"] = std::to_string(config_.validation);
    return metadata;
  }

  // NOTE: the state first: a run that is killed between the two resumes from it, and last.safetensors is only read by people.
  void save_last() const {
    Progress saved = progress_;
    if (saved.batch > 0) saved.seconds += seconds_since(begin_);
    SafetensorsMetadata metadata = weights_metadata();
    metadata["progress"] = saved.to_json().dump();
    save_weights(directory_.state(), *network_, metadata, training_state());
    save_weights(directory_.last(), *network_, weights_metadata());
  }

  const TrainConfig config_;
  const TrainObserver& observer_;
  const DeviceChoice device_;
  const Placement placement_;
  const PlacementScope scope_;
  const Dataset dataset_;
  const RunDirectory directory_;
  const std::unique_ptr<Network> network_;
  const std::unique_ptr<Loss> loss_;
  SgdOptimizer optimizer_;
  const std::unique_ptr<ResidentImages> train_images_, judging_images_;  // null where a loader makes the images
  Loader loader_;
  TrainingStep step_;
  std::optional<CsvFile> metrics_, steps_;
  Progress progress_;
  std::vector<std::int64_t> unread_images_;  // of each step since the journal was read
  Clock::time_point begin_, settled_;        // of the current epoch in this process; when the journal was read last
  double epoch_seconds_ = 0;
  std::int64_t epoch_images_ = 0;
};

}  // namespace

TrainResult train(const TrainConfig& config, bool resume, const TrainObserver& observer) {
  check(config);
  set_threads(config.threads);
  set_f32_products(f32_products_of(config.f32_products));
  return Training(config, resume, observer).run();
}

}  // namespace isda
