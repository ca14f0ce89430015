#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program as a whole: exit statuses, help, version, one line for an error.   command_line_test.py PROGRAM"""
import subprocess

import program


class CommandLineTest(program.ProgramTest):
    def test_version(self):
        self.assertRegex(self.succeeds("--version"), r"^isda \d+\.\d+\.\d+\n$")

    def test_help_lists_the_commands(self):
        text = self.succeeds("--help")
        for name in ["data", "loss"]:
            self.assertRegex(text, rf"(?m)^  {name} ")
        self.assertIn("--covariance", self.succeeds("loss", "--help"))
        self.assertIn("make-shapes", self.succeeds("data", "--help"))
        self.assertIn("--seed", self.succeeds("data", "make-shapes", "--help"))

    def test_wrong_usage_is_status_2(self):
        self.fails(2, "isda: a command is needed")
        self.fails(2, "isda data: a command is needed: download, info, make-shapes", "data")
        self.fails(2, ["isda: unknown command 'los'", "did you mean loss?"], "los")
        self.fails(2, ["isda data: unknown command 'make_shape'", "did you mean make-shapes?"], "data", "make_shape")
        self.fails(2, ["isda loss: unknown flag --covarience", "did you mean --covariance?"], "loss", "a", "b", "--covarience", "full")
        self.fails(2, ["isda loss: --covariance: 'ful'", "did you mean full?"], "loss", "a", "b", "--covariance", "ful")
        self.fails(2, "isda loss: OUT is required", "loss", "a")
        self.fails(2, "isda loss: ", "loss", "a", "b", "c")
        self.fails(2, "isda loss: --threads", "loss", "a", "b", "--threads", "-1")

    def test_an_error_of_the_run_is_status_1(self):
        self.fails(1, "isda loss: [safetensors] cannot open absent.safetensors: No such file", "loss", "absent.safetensors", "out")

    def test_a_full_standard_output_is_an_error(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([program.PROGRAM, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output", done.stderr)


if __name__ == "__main__":
    program.main()
