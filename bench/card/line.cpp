// SPDX-License-Identifier: Apache-2.0
#include "bench/card/line.h"

#include <algorithm>
#include <map>
#include <memory>

#include "bench/card/timing.h"
#include "bench/vendor/vendor.h"

namespace isda::bench {

namespace {

using kernels::Problem;

std::vector<std::string> found_mismatches;

// The library against ours: both recorded, unless it refused or its result is another.
struct Rival {
  vendor::Math math;
  std::string words;
  std::unique_ptr<Recorded> together;  // ours, where it is more than the line's own launch
  std::unique_ptr<Recorded> theirs;    // null where there is nothing to time
};

struct Line {
  std::unique_ptr<Recorded> ours;
  std::vector<Rival> rivals;
};

// The problem that is timed now. A problem's lines follow each other, and each is asked for several times, until its time is known well enough.
struct Timed {
  const Make* make = nullptr;
  std::unique_ptr<Problem> problem;
  std::map<std::size_t, Line> lines;
};

Rival rival_of(const Context& context, const std::string& name, const Problem& problem, std::size_t launch, const vendor::Equal& equal) {
  Rival rival{.math = equal.math, .words = equal.words};
  if (!equal.run) return rival;
  if (const std::string story = vendor::mismatch(context, equal); !story.empty()) {
    rival.words = "MISMATCH " + story + ", " + equal.words;
    found_mismatches.push_back(name + ": " + story + ", " + equal.words);
    return rival;
  }
  rival.theirs = std::make_unique<Recorded>(context, equal.run);
  if (!rival.theirs->is_graph()) rival.words += "; launched one by one";
  if (equal.first != launch) {
    rival.together = std::make_unique<Recorded>(context, [&problem, first = equal.first, launch](const Context& its) {
      for (std::size_t i = first; i <= launch; ++i) problem.launches()[i].run(its);
    });
  }
  return rival;
}

Line line_of(const Context& context, const std::string& name, const Problem& problem, std::size_t launch) {
  Line line{.ours = std::make_unique<Recorded>(context, problem.launches()[launch].run)};
  for (const vendor::Equal& equal : vendor::find_equals(context, problem.launches(), launch)) {
    line.rivals.push_back(rival_of(context, name, problem, launch, equal));
  }
  return line;
}

Timed& timed_of(const Context& context, const Make& make, DType type) {
  static auto* timed = new Timed;
  if (timed->make == &make) return *timed;
  timed->lines.clear();
  timed->problem = std::make_unique<Problem>(type, 1, Device::cuda);
  timed->make = &make;
  make(*timed->problem);
  if (timed->problem->runs_on_card()) timed->problem->run(context);
  return *timed;
}

const Roofline& roofline_of(const Context& context, DType type) {
  static std::map<DType, Roofline> rooflines;
  if (!rooflines.contains(type)) rooflines.emplace(type, measure_card(context, type));
  return rooflines.at(type);
}

double median(std::vector<double> samples) {
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

// The time of ours, theirs, ours, theirs, ..., and what becomes of it.
void time_line(benchmark::State& state, const Line& line, const Problem::Launch& launch, DType type) {
  const Context& context = card_context();
  const Roofline& roofline = roofline_of(context, type);
  struct Samples {
    std::vector<double> ours, theirs;
  };
  std::vector<Samples> samples(line.rivals.size());
  for (auto _ : state) {
    const double ours = line.ours->seconds(context);
    state.SetIterationTime(ours);
    for (std::size_t i = 0; i < line.rivals.size(); ++i) {
      const Rival& rival = line.rivals[i];
      if (!rival.theirs) continue;
      samples[i].ours.push_back(rival.together ? rival.together->seconds(context) : ours);
      samples[i].theirs.push_back(rival.theirs->seconds(context));
    }
  }

  const auto& [flop, bytes] = launch.cost;
  const auto rate = [](double amount) { return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate); };
  state.counters["GFLOP/s"] = rate(flop * 1e-9);
  state.counters["GB/s"] = rate(bytes * 1e-9);
  state.counters["of_copy"] = rate(bytes / roofline.bytes_per_second);
  const double perfect = roofline.perfect_seconds({flop, bytes}, unit_of(launch.name, type, context.f32_products()));
  if (perfect > 0) state.counters["of_roofline"] = rate(perfect);
  std::string label = line.ours->is_graph() ? "" : "ours launched one by one";
  for (std::size_t i = 0; i < line.rivals.size(); ++i) {
    const Rival& rival = line.rivals[i];
    const std::string column = rival.math == vendor::Math::full ? "vendor" : "tf32";
    label += fmt::format("{}{}: {}{}", label.empty() ? "" : " | ", column, rival.theirs ? "" : "- ", rival.words);
    if (!rival.theirs) continue;
    const double theirs = median(samples[i].theirs);
    state.counters[column + "_us"] = theirs * 1e6;
    state.counters["x_" + column] = theirs / median(samples[i].ours);
    if (rival.together) state.counters["together_us"] = median(samples[i].ours) * 1e6;
  }
  state.SetLabel(label.empty() ? "vendor: -" : label);
}

}  // namespace

Context& card_context() {
  static auto* context = new Context(Device::cuda);
  return *context;
}

void add_card_context(DType type) {
  const Roofline& roofline = roofline_of(card_context(), type);
  const auto add = [](const char* name, double amount) { benchmark::AddCustomContext(name, amount > 0 ? fmt::format("{:.4g}", amount) : "-"); };
  benchmark::AddCustomContext("card", cuda::card().description);
  benchmark::AddCustomContext("vendor", vendor::libraries());
  if (type == DType::f32) benchmark::AddCustomContext("f32 products", std::string(name_of(card_context().f32_products())));
  add("copy GB/s", roofline.bytes_per_second * 1e-9);
  add("launch us", roofline.launch_seconds * 1e6);
  add("f32 TFLOP/s", roofline.rate(Unit::f32) * 1e-12);
  if (type == DType::bf16) add("bf16 TFLOP/s", roofline.rate(Unit::bf16) * 1e-12);
  if (type == DType::f32) add("TF32 TFLOP/s", roofline.rate(Unit::tf32) * 1e-12);
}

const std::vector<std::string>& mismatches() { return found_mismatches; }

void time_on_card(benchmark::State& state, const std::string& name, const Make& make, std::size_t launch, DType type) {
  try {
    Timed& timed = timed_of(card_context(), make, type);
    if (!timed.problem->runs_on_card()) return state.SkipWithError("no version for the card");
    if (!timed.lines.contains(launch)) timed.lines.emplace(launch, line_of(card_context(), name, *timed.problem, launch));
    time_line(state, timed.lines.at(launch), timed.problem->launches()[launch], type);
  } catch (const Error& error) {
    state.SkipWithError(error.what());
  }
}

}  // namespace isda::bench
