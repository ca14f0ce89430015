// SPDX-License-Identifier: Apache-2.0
// Everything that determines a training run, as one struct; and one table of its fields, from which come the flags of `isda train`,
// config.json and --config.
#pragma once
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace isda {

struct TrainConfig {
  std::string dataset = "cifar10";
  std::string data_dir = "data";
  std::string model = "resnet32";
  std::string loss = "ce";
  double lambda_0 = 0.5;
  std::string covariance = "full";
  std::string covariance_pass = "auto";
  double label_smoothing = 0;
  double dropout = 0;

  std::int64_t epochs = 160;
  std::int64_t batch_size = 128;
  double lr = 0.1;
  double momentum = 0.9;
  double weight_decay = 1e-4;
  bool nesterov = true;
  std::string schedule = "step";
  std::vector<std::int64_t> milestones;
  double lr_factor = 0.1;

  std::uint64_t seed = 0;
  std::string device = "auto";
  std::string precision = "fp32";
  std::string f32_products = "3xtf32";
  int workers = 1;
  int threads = 0;
  std::string output;
  std::int64_t max_steps = 0;
  std::int64_t train_limit = 0;
  std::int64_t validation = 0;
  std::int64_t image_size = 224;
  std::int64_t resize = 256;
  std::string on_corrupt = "fail";
  bool augment = true;
  bool shuffle = true;
  std::string init;
  std::int64_t log_steps = 0;
};

// Calls field(name, member, description) for each field, in the order in which they are listed. Names are those of the flags, with '_'.
template <class Config, class Field>
void visit_fields(Config& config, Field&& field) {
  field("dataset", config.dataset, "data set: cifar10, cifar100, imagefolder, imagenet, shapes, svhn, svhn_extra");
  field("data_dir", config.data_dir, "directory with the data set's files");
  field("model", config.model, "network; `isda models` lists them");
  field("loss", config.loss, "ce (cross-entropy), isda, or isda-sampled:M: the mean over M draws a sample of what isda bounds in closed form, for comparison");
  field("lambda_0", config.lambda_0, "ISDA: the strength of the augmentation in the last epoch");
  field("covariance", config.covariance, "ISDA: class covariances, full, diagonal or lowrank:R: the diagonal and R directions");
  field(
      "covariance_pass", config.covariance_pass,
      "ISDA: when full covariances are updated and multiplied: ahead of the loss, on cuda beside the network; inline, in the loss; or auto: ahead on cuda with "
      "more than 128 features");
  field("label_smoothing", config.label_smoothing, "cross-entropy: share of the target spread over all classes");
  field("dropout", config.dropout, "probability of dropping an activation, in networks that have dropout between their convolutions");
  field("epochs", config.epochs, "passes over the training images");
  field("batch_size", config.batch_size, "images a step");
  field("lr", config.lr, "learning rate of the first epoch");
  field("momentum", config.momentum, "SGD momentum");
  field("weight_decay", config.weight_decay, "L2 penalty, on every parameter");
  field("nesterov", config.nesterov, "Nesterov momentum");
  field("schedule", config.schedule, "learning rate over the epochs: constant, step or cosine");
  field("milestones", config.milestones, "step: epochs, counted from 1, from which the rate is multiplied by lr_factor");
  field("lr_factor", config.lr_factor, "step: the factor at each milestone");
  field("seed", config.seed, "seed of the initial weights, the order of the images and their augmentation");
  field("device", config.device, "auto, cpu, cuda or reference (slow, double inside)");
  field("precision", config.precision, "fp32; on cuda also bf16: networks compute in it, from parameters in fp32; on the reference device also fp64");
  field("f32_products", config.f32_products,
        "products of f32 on the card: 3xtf32 (f32's digits), tf32 (one product for three, 11 bits) or plain (f32, no tensor cores)");
  field("workers", config.workers, "threads that load and augment images ahead of the step; 0 = none");
  field("threads", config.threads, "threads of a step on the cpu; 0 = all cores");
  field("output", config.output, "directory of the run; empty = runs/DATASET-MODEL-LOSS-SEED");
  field("max_steps", config.max_steps, "stop after so many steps; 0 = no limit");
  field("train_limit", config.train_limit, "train on the first N images only; 0 = all");
  field("validation", config.validation,
        "hold out N training images, as many of each class, for val_loss and val_top1: always the same ones; 0 = none: these are of the test images");
  field("image_size", config.image_size, "image folders: height and width of what the network sees");
  field("resize", config.resize, "image folders: of the shorter side in evaluation, before the middle is taken");
  field("on_corrupt", config.on_corrupt,
        "image folders: a training image that cannot be decoded ends the run (fail) or is replaced by the next that can (skip)");
  field("augment", config.augment, "random crop and flip; of image folders, a random resized crop");
  field("shuffle", config.shuffle, "a new order of the images in each epoch");
  field("init", config.init, "start from the weights of this safetensors file");
  field("log_steps", config.log_steps, "write every Nth step's loss to steps.csv; 0 = none");
}

// Throws Error for the first value that cannot be: the flag's name, what it is, what is possible.
void check(const TrainConfig& config);
// M of the loss isda-sampled:M, 0 for another loss. Throws Error where M is no number of draws.
std::int64_t draws_of(const std::string& loss);

nlohmann::json to_json(const TrainConfig& config);

// Sets the fields that are named in `json`. Throws Error for an unknown name, suggesting the nearest, and for a value of a wrong type.
void set_from_json(TrainConfig& config, const nlohmann::json& json, const std::string& file);

}  // namespace isda
