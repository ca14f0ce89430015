// SPDX-License-Identifier: Apache-2.0
#include "training/exchange.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "models/registry.h"

namespace isda {

namespace {

// A part of a network by our word and by another.
struct Word {
  const char *ours, *theirs;
};

// Words that go together.
struct Habit {
  const char* text;
  std::vector<Word> words;
};

const Habit kShortcut{"'shortcut' for 'downsample'", {{"downsample", "shortcut"}}};
const Habit kLinear{"'linear' for 'fc'", {{"fc", "linear"}}};
const Habit kDottedNumbers{"'norm.1' for 'norm1'", {{"norm1", "norm.1"}, {"conv1", "conv.1"}, {"norm2", "norm.2"}, {"conv2", "conv.2"}}};

using Habits = std::vector<const Habit*>;

const Habits& known_habits() {
  static const Habits list{&kShortcut, &kLinear, &kDottedNumbers};
  return list;
}

struct Scheme {
  const char* name;
  Habits habits;
};

// pytorch-cifar: github.com/kuangliu/pytorch-cifar and what follows it; torchvision-2017: the files of DenseNets that torchvision gives away.
const std::vector<Scheme>& schemes() {
  static const std::vector<Scheme> list = {
      {"torchvision", {}}, {"timm", {}}, {"pytorch-cifar", {&kShortcut, &kLinear}}, {"torchvision-2017", {&kDottedNumbers}}};
  return list;
}

// How a file calls the tensors of a network.
struct Naming {
  std::string prefix;
  Habits habits;

  std::string without_prefix(const std::string& ours) const {
    std::string result;
    std::size_t begin = 0;
    while (begin <= ours.size()) {
      const std::size_t end = std::min(ours.find('.', begin), ours.size());
      std::string part = ours.substr(begin, end - begin);
      for (const Habit* habit : habits) {
        for (const auto& [our_word, their_word] : habit->words) {
          if (part == our_word) {
            part = their_word;
            break;
          }
        }
      }
      result += (begin > 0 ? "." : "") + part;
      begin = end + 1;
    }
    return result;
  }
  std::string of(const std::string& ours) const { return prefix + without_prefix(ours); }

  std::string text() const {
    std::string result;
    if (!prefix.empty()) result += fmt::format(", under '{}'", prefix);
    for (const Habit* habit : habits) result += fmt::format(", with {}", habit->text);
    return result;
  }
};

// Every way to take some of the habits, fewer first.
std::vector<Habits> choices_of_habits() {
  std::vector<Habits> result;
  for (unsigned bits = 0; bits < 1u << known_habits().size(); ++bits) {
    Habits chosen;
    for (std::size_t habit = 0; habit < known_habits().size(); ++habit) {
      if (bits >> habit & 1) chosen.push_back(known_habits()[habit]);
    }
    result.push_back(chosen);
  }
  std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
  return result;
}

// What stands in the file before a name that ends in `name`, the shortest first.
std::vector<std::string> prefixes_of(const Safetensors& file, const std::string& name) {
  std::vector<std::string> result;
  for (const auto& entry : file.entries()) {
    if (!entry.name.ends_with(name)) continue;
    const std::string prefix = entry.name.substr(0, entry.name.size() - name.size());
    if (prefix.empty() || prefix.ends_with('.')) result.push_back(prefix);
  }
  std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
  return result;
}

// The naming by which most tensors are found; among equals, and where it is less than half of them, the plainest.
Naming naming_of(const Safetensors& file, const std::vector<NamedTensor>& tensors) {
  Naming best;
  std::ptrdiff_t most = 0;
  for (const auto& chosen : choices_of_habits()) {
    Naming naming{.prefix = "", .habits = chosen};
    for (const std::string& prefix : prefixes_of(file, naming.of(tensors.front().name))) {
      naming.prefix = prefix;
      const auto found = std::count_if(tensors.begin(), tensors.end(), [&](const NamedTensor& tensor) { return file.contains(naming.of(tensor.name)); });
      if (found > most) most = found, best = naming;
    }
  }
  return 2 * most < static_cast<std::ptrdiff_t>(tensors.size()) ? Naming() : best;
}

// Of a file's tensors those that belong to the network, and should therefore all be of use. NOTE: the state of a run (training/trainer.cpp) holds the
// optimizer's and the loss's beside them.
bool belongs(const Safetensors& file, const std::string& name, const Naming& naming) {
  if (!name.starts_with(naming.prefix) || name.ends_with("num_batches_tracked")) return false;
  const bool is_state = file.metadata().contains("progress");
  return !is_state || (!name.starts_with("momentum.") && !name.starts_with("loss."));
}

bool is_of_classifier(const NamedTensor& tensor, const Network& network) {
  const Linear& classifier = network.classifier();
  return tensor.tensor.view().data() == classifier.weight.view().data() || tensor.tensor.view().data() == classifier.bias.view().data();
}

// "4 tensors (a, b, c, ...)": what is wrong in one way.
std::string listed(const char* what, const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 6;
  if (names.empty()) return "";
  const std::vector<std::string> shown(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, names.size())));
  return fmt::format("; {} {}: {}{}", names.size(), what, fmt::join(shown, ", "), names.size() > kShown ? ", ..." : "");
}

struct Findings {
  std::vector<std::string> missing, misshapen, left_over;
  bool is_fitting() const { return missing.empty() && misshapen.empty() && left_over.empty(); }
};

Findings findings_of(const Safetensors& file, const std::vector<NamedTensor>& tensors, const std::set<std::string>& passed_over, const Naming& naming) {
  Findings result;
  std::set<std::string> used = passed_over;
  for (const auto& [name, tensor] : tensors) {
    const std::string theirs = naming.of(name);
    used.insert(theirs);
    const Shape shape = shape_on_disk(tensor);
    const std::vector<std::int64_t> expected(shape.begin(), shape.end());
    if (!file.contains(theirs))
      result.missing.push_back(fmt::format("{} ({})", theirs, fmt::join(expected, ",")));
    else if (file.entry(theirs).extents != expected)
      result.misshapen.push_back(fmt::format("{} is ({}), expected ({})", theirs, fmt::join(file.entry(theirs).extents, ","), fmt::join(expected, ",")));
  }
  for (const auto& entry : file.entries()) {
    if (belongs(file, entry.name, naming) && !used.contains(entry.name)) result.left_over.push_back(entry.name);
  }
  return result;
}

}  // namespace

std::string import_weights(const Safetensors& file, const Network& network, const ImportOptions& options) {
  const std::vector<NamedTensor> all = weights_of(network);
  const Naming naming = naming_of(file, all);
  std::vector<NamedTensor> wanted, classifier;
  std::set<std::string> passed_over;
  for (const NamedTensor& tensor : all) {
    const bool is_last = is_of_classifier(tensor, network);
    if (is_last) classifier.push_back(tensor);
    if (is_last && !options.has_classifier)
      passed_over.insert(naming.of(tensor.name));
    else
      wanted.push_back(tensor);
  }

  const Findings findings = findings_of(file, wanted, passed_over, naming);
  if (!findings.is_fitting()) {
    // The last layer alone does not fit: a network that was trained on other classes.
    const std::string weight = naming.of(classifier.front().name);
    const bool is_classifier_alone = findings.missing.empty() && findings.left_over.empty() && findings.misshapen.size() == classifier.size() &&
                                     file.entry(weight).extents.size() == 2 && file.entry(weight).extents[0] != network.classes() &&
                                     file.entry(weight).extents[1] == network.feature_width();
    if (is_classifier_alone) {
      fail(
          "[{}] tells {} classes apart and {} are asked for: {} is ({}), expected ({},{}); --weights-without-classifier of isda train leaves the last layer as "
          "it starts",
          file.path().string(), file.entry(weight).extents[0], network.classes(), weight, fmt::join(file.entry(weight).extents, ","), network.classes(),
          network.feature_width());
    }
    fail("[{}] does not hold the weights of this network, {} tensors{}{}{}{}; give the --model that they are of, `isda models NAME` lists its tensors",
         file.path().string(), wanted.size(), naming.text(), listed("missing", findings.missing), listed("of another shape", findings.misshapen),
         listed("left over", findings.left_over));
  }

  std::vector<NamedTensor> as_in_file;
  for (const auto& [name, tensor] : wanted) as_in_file.push_back({naming.of(name), tensor});
  load_tensors(file, as_in_file);
  return fmt::format("{} tensors{}{}", wanted.size(), naming.text(), options.has_classifier ? "" : ", all but the last layer");
}

std::string given_or_named(const std::string& given, const Safetensors& file, const char* key) {
  if (!given.empty()) return given;
  const auto found = file.metadata().find(key);
  require(found != file.metadata().end(), "[{}] does not say which {} it is for: give --{}", file.path().string(), key, key);
  return found->second;
}

std::unique_ptr<Network> network_of(const Safetensors& file, const std::string& model) {
  const NetworkEntry entry = find_network(given_or_named(model, file, "model"));
  auto network = entry.make(entry.paper_classes);
  const std::vector<NamedTensor> tensors = weights_of(*network);
  const auto weight = std::find_if(tensors.begin(), tensors.end(), [&](const NamedTensor& tensor) { return is_of_classifier(tensor, *network); });
  const std::string name = naming_of(file, tensors).of(weight->name);
  // NOTE: where the file has none, what is missing is told below.
  const std::int64_t classes = file.contains(name) && file.entry(name).extents.size() == 2 ? file.entry(name).extents[0] : 0;
  if (classes > 0 && classes != network->classes()) network = entry.make(classes);
  import_weights(file, *network);
  return network;
}

const std::vector<std::string>& naming_schemes() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const Scheme& scheme : schemes()) result.emplace_back(scheme.name);
    return result;
  }();
  return names;
}

void export_weights(const std::filesystem::path& path, const Network& network, const std::string& scheme, const SafetensorsMetadata& metadata) {
  const auto found = std::find_if(schemes().begin(), schemes().end(), [&](const Scheme& entry) { return entry.name == scheme; });
  require(found != schemes().end(), "[export] there is no scheme '{}', expected {}", scheme, fmt::join(naming_schemes(), ", "));
  const Naming naming{.prefix = "", .habits = found->habits};
  std::vector<NamedTensor> renamed;
  for (const auto& [name, tensor] : weights_of(network)) renamed.push_back({naming.of(name), tensor});
  save_tensors(path, renamed, metadata);
}

}  // namespace isda
