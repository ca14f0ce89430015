// SPDX-License-Identifier: Apache-2.0
// From the words of the command line to the command that is to run.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "apps/command.h"

namespace isda {

class CommandLine {
 public:
  explicit CommandLine(const std::vector<Command>& commands);

  // Parses the words behind the program's name. Afterwards run() runs the command, or prints the help or version that was asked for.
  // Throws UsageError for what cannot be understood.
  void parse(const std::vector<std::string>& words);
  int run() const { return run_(); }

  // The command that was reached, for messages: "isda", "isda loss".
  const std::string& reached() const { return reached_; }

 private:
  std::vector<std::string> understood(const std::vector<std::string>& words);
  std::vector<std::string> understood_flag(const CLI::App& app, const std::string& word) const;
  CLI::App* subcommand(CLI::App& app, const std::string& word) const;

  CLI::App app_;
  std::map<const CLI::App*, const Command*> commands_;
  std::map<const CLI::App*, std::function<int()>> bodies_;
  std::function<int()> run_;
  std::string reached_ = "isda";
};

}  // namespace isda
