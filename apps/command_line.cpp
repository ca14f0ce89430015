// SPDX-License-Identifier: Apache-2.0
#include "apps/command_line.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <iostream>

namespace isda {

namespace {

template <class... Arguments>
[[noreturn]] void fail_usage(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  throw UsageError(fmt::format(format, std::forward<Arguments>(arguments)...));
}

std::vector<std::string> names_of(const std::vector<CLI::App*>& apps) {
  std::vector<std::string> names;
  for (const CLI::App* app : apps) names.push_back(app->get_name());
  return names;
}

std::vector<CLI::App*> subcommands_of(CLI::App& app) {
  return app.get_subcommands([](CLI::App*) { return true; });
}

std::vector<std::string> long_flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

bool is_short_flag(const std::string& word) { return word.size() > 1 && word[0] == '-' && std::isalpha(static_cast<unsigned char>(word[1])); }

}  // namespace

CommandLine::CommandLine(const std::vector<Command>& commands)
    : app_("Trains networks with implicit semantic data augmentation (ISDA). `isda COMMAND --help` explains a command.", "isda") {
  app_.set_version_flag("--version", "isda " ISDA_VERSION);
  for (const Command& command : commands) {
    // "data info" is a command of the group "data".
    const std::size_t space = command.name.find(' ');
    CLI::App* parent = space == std::string::npos ? &app_ : app_.get_subcommand(command.name.substr(0, space));
    CLI::App* app = parent->add_subcommand(space == std::string::npos ? command.name : command.name.substr(space + 1), command.help);
    app->get_formatter()->column_width(36);
    commands_[app] = &command;
    if (command.declare) bodies_[app] = command.declare(*app);
  }
}

void CommandLine::parse(const std::vector<std::string>& words) {
  std::vector<std::string> reversed = understood(words);
  std::reverse(reversed.begin(), reversed.end());
  try {
    app_.parse(reversed);
  } catch (const CLI::Success& request) {
    const bool is_version = dynamic_cast<const CLI::CallForVersion*>(&request);
    run_ = [text = is_version ? app_.version() + "\n" : app_.help()] {
      std::cout << text;
      return 0;
    };
    return;
  } catch (const CLI::ParseError& error) {
    fail_usage("{}; see {} --help", error.what(), reached_);
  }
  CLI::App* app = &app_;
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  const auto body = bodies_.find(app);
  if (body == bodies_.end()) fail_usage("a command is needed: {}; see {} --help", fmt::join(names_of(subcommands_of(*app)), ", "), reached_);
  run_ = body->second;
}

// The words with every flag as it was declared. Unknown flags and commands are found here, before the parser complains of what they left out.
std::vector<std::string> CommandLine::understood(const std::vector<std::string>& words) {
  std::vector<std::string> result;
  CLI::App* app = &app_;
  bool are_flags_over = false;
  for (const std::string& word : words) {
    are_flags_over = are_flags_over || word == "--";
    if (are_flags_over) {
      result.push_back(word);
    } else if (word.starts_with("--") || is_short_flag(word)) {
      const auto meaning = understood_flag(*app, word);
      result.insert(result.end(), meaning.begin(), meaning.end());
    } else {
      if (!subcommands_of(*app).empty()) {
        app = subcommand(*app, word);
        reached_ += " " + word;
      }
      result.push_back(word);
    }
  }
  return result;
}

std::vector<std::string> CommandLine::understood_flag(const CLI::App& app, const std::string& word) const {
  if (!word.starts_with("--")) {
    if (app.get_option_no_throw(word.substr(0, 2))) return {word};
    fail_usage("unknown flag {}{}; see {} --help", word, suggestion("-" + word, long_flags_of(app)), reached_);
  }
  const std::size_t equals = word.find('=');
  std::string flag = word.substr(0, equals);
  std::replace(flag.begin(), flag.end(), '_', '-');
  const std::string value = equals == std::string::npos ? "" : word.substr(equals);

  std::vector<std::string> candidates = long_flags_of(app);
  if (const auto command = commands_.find(&app); command != commands_.end()) {
    for (const Alias& alias : command->second->aliases) {
      if (alias.flag == flag) {
        auto meaning = alias.meaning;
        meaning.back() += value;
        return meaning;
      }
      candidates.push_back(alias.flag);
    }
  }
  if (!app.get_option_no_throw(flag)) fail_usage("unknown flag {}{}; see {} --help", flag, suggestion(flag, candidates), reached_);
  return {flag + value};
}

CLI::App* CommandLine::subcommand(CLI::App& app, const std::string& word) const {
  const auto known = subcommands_of(app);
  for (CLI::App* candidate : known) {
    if (candidate->get_name() == word) return candidate;
  }
  const auto names = names_of(known);
  fail_usage("unknown command '{}', expected one of {}{}", word, fmt::join(names, ", "), suggestion(word, names));
}

}  // namespace isda
