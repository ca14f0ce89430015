// SPDX-License-Identifier: Apache-2.0
// From words to a command: spellings, aliases, groups, and what is said about words that are wrong.
#include "apps/command_line.h"

#include <gtest/gtest.h>

namespace isda {
namespace {

struct Flags {
  std::string input, schedule = "step", model;
  double lambda_0 = 0;
  bool is_fast = false;
};

// What the last command ran with.
Flags ran;
std::string ran_name;

void add_flags(CLI::App& app, Flags& flags) {
  app.add_option("INPUT", flags.input)->required();
  app.add_option("--lambda-0", flags.lambda_0);
  app.add_option("--schedule", flags.schedule)->check(one_of({"step", "cosine"}));
  app.add_option("-m,--model", flags.model);
  app.add_flag("--fast", flags.is_fast);
}

template <int status>
int run_train(const Flags& flags) {
  ran = flags;
  ran_name = status == 0 ? "train" : "data info";
  return status;
}

class CommandLineTest : public testing::Test {
 protected:
  int run(const std::vector<std::string>& words) {
    ran = {};
    ran_name = "";
    CommandLine line(commands_);
    line.parse(words);
    return line.run();
  }

  // "reached: message" of the UsageError.
  std::string complaint(const std::vector<std::string>& words) {
    CommandLine line(commands_);
    try {
      line.parse(words);
    } catch (const UsageError& error) {
      return line.reached() + ": " + error.what();
    }
    return "understood";
  }

  std::vector<Command> commands_{{.name = "data", .help = "a group"},
                                 {.name = "data info", .help = "of a group", .declare = with_flags(add_flags, run_train<7>)},
                                 {.name = "train",
                                  .help = "trains",
                                  .declare = with_flags(add_flags, run_train<0>),
                                  .aliases = {{"--cos-lr", {"--schedule", "cosine"}}, {"--network", {"--model"}}}}};
};

TEST_F(CommandLineTest, RunsTheCommandWithItsFlags) {
  EXPECT_EQ(run({"train", "x", "--lambda-0", "0.5", "--fast"}), 0);
  EXPECT_EQ(ran_name, "train");
  EXPECT_EQ(ran.input, "x");
  EXPECT_EQ(ran.lambda_0, 0.5);
  EXPECT_TRUE(ran.is_fast);
  EXPECT_EQ(run({"data", "info", "-m", "net", "y"}), 7);
  EXPECT_EQ(ran_name, "data info");
  EXPECT_EQ(ran.model, "net");
}

TEST_F(CommandLineTest, UnderlinesInFlagsAreHyphens) {
  run({"train", "a_b", "--lambda_0", "-0.25", "--model=my_net"});
  EXPECT_EQ(ran.lambda_0, -0.25);
  EXPECT_EQ(ran.input, "a_b");
  EXPECT_EQ(ran.model, "my_net");
  run({"train", "--lambda_0=2", "--", "--a_b"});
  EXPECT_EQ(ran.lambda_0, 2);
  EXPECT_EQ(ran.input, "--a_b");
}

TEST_F(CommandLineTest, AliasesStandForOtherFlags) {
  run({"train", "x", "--cos_lr", "--network=net"});
  EXPECT_EQ(ran.schedule, "cosine");
  EXPECT_EQ(ran.model, "net");
  run({"train", "x", "--network", "net_2"});
  EXPECT_EQ(ran.model, "net_2");
  // Another command does not know them.
  EXPECT_EQ(complaint({"data", "info", "x", "--cos-lr"}), "isda data info: unknown flag --cos-lr; see isda data info --help");
}

TEST_F(CommandLineTest, WhatIsUnknownIsNamedWithTheNearest) {
  EXPECT_EQ(complaint({"trian"}), "isda: unknown command 'trian', expected one of data, train; did you mean train?");
  EXPECT_EQ(complaint({"xyzzy"}), "isda: unknown command 'xyzzy', expected one of data, train");
  EXPECT_EQ(complaint({"data", "inof"}), "isda data: unknown command 'inof', expected one of info; did you mean info?");
  EXPECT_EQ(complaint({"train", "--lamda-0", "1"}), "isda train: unknown flag --lamda-0; did you mean --lambda-0?; see isda train --help");
  EXPECT_EQ(complaint({"train", "--lamda_0=1"}), "isda train: unknown flag --lamda-0; did you mean --lambda-0?; see isda train --help");
  EXPECT_EQ(complaint({"train", "--cos-rl"}), "isda train: unknown flag --cos-rl; did you mean --cos-lr?; see isda train --help");
  EXPECT_EQ(complaint({"train", "-fast"}), "isda train: unknown flag -fast; did you mean --fast?; see isda train --help");
  EXPECT_EQ(complaint({"--fast"}), "isda: unknown flag --fast; see isda --help");
}

TEST_F(CommandLineTest, WhatIsMissingOrWrongIsNamed) {
  EXPECT_EQ(complaint({}), "isda: a command is needed: data, train; see isda --help");
  EXPECT_EQ(complaint({"data"}), "isda data: a command is needed: info; see isda data --help");
  EXPECT_EQ(complaint({"train"}), "isda train: INPUT is required; see isda train --help");
  EXPECT_NE(complaint({"train", "x", "--lambda-0", "half"}).find("--lambda-0"), std::string::npos);
  EXPECT_NE(complaint({"train", "x", "--lambda-0"}).find("--lambda-0"), std::string::npos);
  EXPECT_NE(complaint({"train", "x", "y"}).find("y"), std::string::npos);
  EXPECT_EQ(complaint({"train", "x", "--schedule", "cosin"}),
            "isda train: --schedule: 'cosin' is none of step, cosine; did you mean cosine?; see isda train --help");
}

TEST_F(CommandLineTest, HelpAndVersionAreNoErrors) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"--help"}, {"train", "--help"}, {"data", "info", "-h"}, {"--version"}}) {
    testing::internal::CaptureStdout();
    EXPECT_EQ(run(words), 0);
    EXPECT_NE(testing::internal::GetCapturedStdout(), "");
    EXPECT_EQ(ran_name, "");
  }
}

TEST(Subcommand, CommandsAreInTheOrderOfTheirNames) {
  const Subcommand second{{.name = "zeta info", .help = ""}}, first{{.name = "zeta", .help = ""}}, other{{.name = "alpha", .help = ""}};
  std::vector<std::string> names;
  for (const Command& command : all_commands()) names.push_back(command.name);
  EXPECT_EQ(names, (std::vector<std::string>{"alpha", "zeta", "zeta info"}));
}

}  // namespace
}  // namespace isda
