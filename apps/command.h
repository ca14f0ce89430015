// SPDX-License-Identifier: Apache-2.0
// What a subcommand is. A file in apps/ that declares one adds it to the program:
//
//   struct Flags { std::string input; };
//   void add_flags(CLI::App& app, Flags& flags) { app.add_option("INPUT", flags.input, "what to read")->required(); }
//   int run(const Flags& flags) { ...; return 0; }
//   const Subcommand loss{{.name = "loss", .help = "the ISDA loss by itself", .declare = with_flags(add_flags, run)}};
//
// Flags are written with '-'; the command line may use '_' instead. What goes wrong is thrown: UsageError ends the program with status 2,
// every other exception with 1, both with one line on stderr.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/common/error.h"

namespace isda {

// What is wrong with the command line itself.
class UsageError : public Error {
 public:
  using Error::Error;
};

// Another spelling of a flag, replaced before parsing: {"--cos-lr", {"--schedule", "cosine"}}. `--flag=value` gives its value to the last word.
struct Alias {
  std::string flag;
  std::vector<std::string> meaning;
};

struct Command {
  std::string name;  // "loss"; "data info" is the command `info` of the group `data`
  std::string help;  // one line
  // Adds the flags to `app`. What it returns runs once they are parsed and returns the exit status. Empty for a group.
  std::function<std::function<int()>(CLI::App& app)> declare = {};
  std::vector<Alias> aliases = {};
};

// In the order of their names, so that a group comes before its commands.
const std::vector<Command>& all_commands();

// Adds a command when the program starts.
struct Subcommand {
  Subcommand(Command command);
};

template <class Flags>
auto with_flags(void (*add_flags)(CLI::App&, Flags&), int (*run)(const Flags&)) {
  return [=](CLI::App& app) -> std::function<int()> {
    const auto flags = std::make_shared<Flags>();
    add_flags(app, *flags);
    return [=] { return run(*flags); };
  };
}

// A value that must be one of these words: app.add_option(...)->check(one_of({"full", "diagonal"})). Suggests the nearest.
CLI::Validator one_of(std::vector<std::string> words);

// "; did you mean NEAREST?", or nothing when no candidate is near.
std::string suggestion(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace isda
