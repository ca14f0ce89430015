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
  double center_rate = 0.5;
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
  std::string policy = "none";
  double color_jitter = 0;
  std::int64_t cutout = 0;
  std::int64_t cutout_holes = 1;
  double mixup = 0;
  double cutmix = 0;
  bool shuffle = true;
  std::string init;
  bool init_classifier = true;
  std::int64_t log_steps = 0;
};

// Calls field(name, member, description) for each field, in the order in which they are listed. Names are those of the flags, with '_'.
template <class Config, class Field>
void visit_fields(Config& config, Field&& field) {
  field("dataset", config.dataset, "data set: cifar10, cifar100, imagefolder, imagenet, shapes, svhn, svhn_extra");
  field("data_dir", config.data_dir, "directory with the data set's files");
  field("model", config.model, "network; `isda models` lists them");
  field("loss", config.loss,
        "ce (cross-entropy) or isda; to compare with: isda-sampled:M, the mean over M draws a sample of what isda bounds in closed form; focal:GAMMA; "
        "large-margin:M, M from 1 to 4; center:LAMBDA, cross-entropy and LAMBDA/2 of the mean squared distance to the class's center");
  field("lambda_0", config.lambda_0, "ISDA: the strength of the augmentation in the last epoch");
  field("covariance", config.covariance, "ISDA: class covariances, full, diagonal or lowrank:R: the diagonal and R directions");
  field(
      "covariance_pass", config.covariance_pass,
      "ISDA: when full covariances are updated and multiplied: ahead of the loss, on cuda beside the network; inline, in the loss; or auto: ahead on cuda with "
      "more than 128 features");
  field("label_smoothing", config.label_smoothing, "cross-entropy: share of the target spread over all classes");
  field("center_rate", config.center_rate, "center loss: how far a center follows the features of its class in a batch");
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
  field("augment", config.augment, "random crop and flip; of image folders, a random resized crop and flip");
  field("policy", config.policy,
        "operations on the training images: none, autoaugment-cifar10, autoaugment-imagenet, or randaugment:N:M: N operations of magnitude M, 0 to 30");
  field("color_jitter", config.color_jitter, "brightness, contrast and colour of training images times a factor from 1-S to 1+S each; 0 = none");
  field("cutout", config.cutout, "cut squares of so many pixels a side out of training images; 0 = none, without a number 16");
  field("cutout_holes", config.cutout_holes, "how many squares --cutout cuts");
  field("mixup", config.mixup, "mix the images of a batch and their labels, with weights of Beta(ALPHA, ALPHA); 0 = not");
  field("cutmix", config.cutmix, "put a box of one image into another, of an area of Beta(ALPHA, ALPHA); 0 = not. With --mixup each batch has either");
  field("shuffle", config.shuffle, "a new order of the images in each epoch");
  field("init", config.init, "start from the weights of this safetensors file: of a run, or of PyTorch, torchvision or timm; also --weights");
  field("init_classifier", config.init_classifier,
        "init: the last layer, too; without it, also --weights-without-classifier, the file's classes may be others");
  field("log_steps", config.log_steps, "write every Nth step's loss to steps.csv; 0 = none");
}

// Throws Error for the first value that cannot be: the flag's name, what it is, what is possible.
void check(const TrainConfig& config);

// What --loss names: "isda-sampled" and 8 of isda-sampled:8; number 0 where a loss has none. Throws Error for an unknown name, suggesting the nearest, and for
// a number that cannot be.
struct NamedLoss {
  std::string name;
  double number = 0;
};
NamedLoss loss_of(const std::string& text);

nlohmann::json to_json(const TrainConfig& config);

// Sets the fields that are named in `json`. Throws Error for an unknown name, suggesting the nearest, and for a value of a wrong type.
void set_from_json(TrainConfig& config, const nlohmann::json& json, const std::string& file);

}  // namespace isda
