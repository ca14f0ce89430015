// SPDX-License-Identifier: Apache-2.0
// The ladder of ISDA's head (kernels/isda/ladder), a row a level.
//
//   isda_ladder                                     (128,100,64), on a card also (128,100,640), maps of 8 x 8, f32
//   isda_ladder --shape 64,10,128 --shape 1,1,1     others: N,C,A
//   isda_ladder --type bf16 --f32-products tf32     maps in bf16; f32 by one product (kernels/common/f32_products.h)
//   isda_ladder --json                              a JSON object a line
//
// On a card:  us            of one run among 20 in a recorded graph (bench/card/timing.h), the median of some
//             GB/s, GFLOP/s  of what the level itself does and moves, every array of a pass once (its cost())
//             of_roofline   what a perfect kernel would need for the operation (its cost(), bench/roofline.h), the same for all levels, over the time
//             x             the first level's time over this one's
//             launches      nodes of the graph
//             MB, MFLOP     by the level's cost(); a level that does not fit into the card's memory says so
// On the emulated card, which has no time: launches, and MB read and written as threads ask for them, beside what the level's cost() says. --time takes the way
// of a card nevertheless: its times mean nothing.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "bench/card/timing.h"
#include "bench/vendor/vendor.h"
#include "kernels/isda/ladder/ladder.h"
#if defined(ISDA_EMULATED)
#include "kernels/emulator/emulator.h"
#endif

namespace isda::bench {
namespace {

using kernels::Problem, kernels::IsdaHead, kernels::ladder::Level, kernels::ladder::levels;

struct Sizes {
  std::int64_t N, C, A;
};

struct Settings {
  DType type = DType::f32;
  F32Products products = F32Products::three_tf32;
  bool is_json = false;
};

constexpr std::int64_t kSide = 8;  // pixels of a map

IsdaHead describe(Problem& p, const Sizes& s) {
  const auto [N, C, A] = s;
  // NOTE: an identity and a little, quickly made: there are 41 million elements at (128,100,640).
  const kernels::Fill covariances = [A = A](kernels::Draw&, std::int64_t i) { return i / A % A == i % A ? 1.0 : 1e-3 * static_cast<double>(i % 7); };
  const IsdaHead head{.x = p.input("x", {N, kSide, kSide, A}),
                      .labels = p.labels("labels", N, C),
                      .weight = p.parameter("weight", {C, A}, kernels::normal(0, 1 / std::sqrt(static_cast<double>(A)))),
                      .bias = p.parameter("bias", {C}),
                      .ratio = p.parameter("ratio", {1}, kernels::constant(0.5)),
                      .count = p.parameter_inout("count", {C}, kernels::constant(17)),
                      .mean = p.parameter_inout("mean", {C, A}),
                      .covariance = p.parameter_inout("covariance", {C, A, A}, covariances),
                      .loss = p.parameter_output("loss", {1}),
                      .correct = p.integer_output("correct", {1}),
                      .dx = p.output("dx", {N, kSide, kSide, A}),
                      .dweight = p.parameter_output("dweight", {C, A}),
                      .dbias = p.parameter_output("dbias", {C})};
  p.forward(head);
  return head;
}

// What is found of a level. Without a card's time `seconds` is 0, and the bytes are counted.
struct Row {
  std::string refusal;  // why it did not run
  double seconds = 0;
  std::size_t launches = 0;
  double read = 0, written = 0;
};

Row time(const Context& context, const Level& level, const IsdaHead& head) {
  const Recorded recorded(context, [&](const Context& its) { kernels::ladder::run(its, level, head); });
  std::vector<double> samples(cuda::card().is_emulated ? 1 : 7);
  for (double& sample : samples) sample = recorded.seconds(context);
  std::nth_element(samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2), samples.end());
  return {.seconds = samples[samples.size() / 2], .launches = recorded.nodes()};
}

#if defined(ISDA_EMULATED)
Row count(const Context& context, const Level& level, const IsdaHead& head) {
  emulator::reset_counters();
  kernels::ladder::run(context, level, head);
  context.synchronise();
  Row row;
  for (const auto& [name, counts] : emulator::counters()) {
    row.launches += counts.launches;
    row.read += static_cast<double>(counts.global_read_bytes);
    row.written += static_cast<double>(counts.global_written_bytes);
  }
  return row;
}
#endif

void print_head(const Sizes& s, const Settings& settings, bool is_timed) {
  fmt::print("{}\nN {}, C {}, A {}, maps of {} x {} in {}, products {}\n  {:<17} ", cuda::card().description, s.N, s.C, s.A, kSide, kSide,
             name_of(settings.type), name_of(settings.products), "level");
  if (is_timed)
    fmt::print("{:>9} {:>7} {:>8} {:>11} {:>7} {:>8} {:>9} {:>9}\n", "us", "GB/s", "GFLOP/s", "of_roofline", "x", "launches", "MB", "MFLOP");
  else
    fmt::print("{:>8} {:>10} {:>10} {:>11} {:>9}\n", "launches", "MB read", "MB written", "MB by cost", "MFLOP");
}

void print_row(const Level& level, const Row& row, const Cost& cost, double perfect, double first_seconds, bool is_timed) {
  const double megabytes = cost.bytes * 1e-6, megaflop = cost.flop * 1e-6;
  const std::string gain = first_seconds > 0 ? fmt::format("{:.2f}", first_seconds / row.seconds) : "-";
  fmt::print("  {:<17} ", level.name);
  if (!row.refusal.empty())
    fmt::print("did not run: {}\n", row.refusal);
  else if (is_timed)
    fmt::print("{:>9.1f} {:>7.0f} {:>8.0f} {:>9.1f} % {:>7} {:>8} {:>9.1f} {:>9.1f}\n", row.seconds * 1e6, cost.bytes / row.seconds * 1e-9,
               cost.flop / row.seconds * 1e-9, 100 * perfect / row.seconds, gain, row.launches, megabytes, megaflop);
  else
    fmt::print("{:>8} {:>10.1f} {:>10.1f} {:>11.1f} {:>9.1f}\n", row.launches, row.read * 1e-6, row.written * 1e-6, megabytes, megaflop);
}

void print_json(const Sizes& s, const Settings& settings, const Level& level, const Row& row, const Cost& cost, double perfect) {
  nlohmann::ordered_json line{{"what", "isda_ladder"},
                              {"level", level.name},
                              {"idea", level.idea},
                              {"N", s.N},
                              {"C", s.C},
                              {"A", s.A},
                              {"type", name_of(settings.type)},
                              {"products", name_of(settings.products)},
                              {"launches", row.launches},
                              {"bytes", cost.bytes},
                              {"flop", cost.flop}};
  if (!row.refusal.empty()) line["error"] = row.refusal;
  if (row.seconds > 0) {
    line["us"] = row.seconds * 1e6;
    line["of_roofline"] = perfect / row.seconds;
  }
  fmt::print("{}\n", line.dump());
}

void climb(const Context& context, const Sizes& s, const Settings& settings, bool is_timed) {
  Problem problem(settings.type, 1, Device::cuda);
  const IsdaHead head = describe(problem, s);
  problem.run(context);
  const double perfect =
      is_timed ? measure_card(context, settings.type).perfect_seconds(cost(head), unit_of(IsdaHead::name, settings.type, settings.products)) : 0;
  if (!settings.is_json) print_head(s, settings, is_timed);
  double first_seconds = 0;  // as long as the first level did not run
  for (const Level& level : levels()) {
    Row row;
    try {
#if defined(ISDA_EMULATED)
      row = is_timed ? time(context, level, head) : count(context, level, head);
#else
      row = time(context, level, head);
#endif
    } catch (const Error& error) {
      row.refusal = error.what();
    }
    if (&level == &levels().front() && row.seconds > 0) first_seconds = row.seconds;
    if (settings.is_json)
      print_json(s, settings, level, row, level.cost(head), perfect);
    else
      print_row(level, row, level.cost(head), perfect, first_seconds, is_timed);
    std::fflush(stdout);
  }
}

Sizes parse(const std::string& text) {
  Sizes s{};
  char end = 0;
  require(std::sscanf(text.c_str(), "%ld,%ld,%ld%c", &s.N, &s.C, &s.A, &end) == 3 && s.N > 0 && s.C > 0 && s.A > 0,
          "[--shape] {}, expected N,C,A, for example 128,100,64", text);
  return s;
}

}  // namespace
}  // namespace isda::bench

int main(int argc, char** argv) {
  using namespace isda;
  CLI::App program("ISDA's head, level by level: the ladder of kernels/isda/ladder");
  std::vector<std::string> shapes;
  std::string type = "f32", products = "3xtf32";
  bench::Settings settings;
  bool is_timed = false;
  program.add_option("--shape", shapes, "N,C,A; may be given several times");
  program.add_option("--type", type, "of the maps")->check(CLI::IsMember({"f32", "bf16"}));
  program.add_option("--f32-products", products, "how tensor cores multiply f32")->check(CLI::IsMember({"3xtf32", "tf32", "plain"}));
  program.add_flag("--json", settings.is_json, "a JSON object a line");
  program.add_flag("--time", is_timed, "on the emulated card: as on a card; the times mean nothing");
  CLI11_PARSE(program, argc, argv);
  if (type == "bf16") settings.type = DType::bf16;
  for (const F32Products way : kF32Products) {
    if (products == name_of(way)) settings.products = way;
  }
  if (!cuda::card().is_usable) {
    fmt::print(stderr, "isda_ladder: no card can be used: {}\n", cuda::card().description);
    return 1;
  }
  is_timed = is_timed || !cuda::card().is_emulated;
  if (shapes.empty()) shapes = {"128,100,64"};
  // NOTE: on the emulated card the dense level of the second would take an hour.
  if (!cuda::card().is_emulated && shapes.size() == 1 && program.count("--shape") == 0) shapes.push_back("128,100,640");
  try {
    Context context(Device::cuda);
    context.set_f32_products(settings.products);
    for (const std::string& shape : shapes) bench::climb(context, bench::parse(shape), settings, is_timed);
  } catch (const Error& error) {
    fmt::print(stderr, "isda_ladder: {}\n", error.what());
    return 1;
  }
}
