#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which seeded bug is noticed under which schedule and sanitizer, as a table in Markdown.

    tests/emulator/bug_matrix.py BUILD...     folders that hold tests/emulator/commit_bug: build/ci build/asan build/tsan build/msan

Without a sanitizer each bug is committed under forward, reverse, and eight seeds each of random and pct; with one under forward, reverse and
one seed of pct, whose answers are given once where they agree. A cell says what noticed it:
    report     the emulated card, with what it knows      value      a wrong result      line       the sanitizer, with file and line
    5/8        how many of the seeds                      -          nothing
"""
import collections
import os
import re
import shutil
import subprocess
import sys

SEEDS = range(1, 9)
COLUMNS = {"plain": ["forward", "reverse", "random", "pct"], "address": ["AddressSanitizer"], "thread": ["ThreadSanitizer"], "memory": ["MemorySanitizer"]}
REPORT_OF_SANITIZER = re.compile(r"(ERROR: AddressSanitizer|WARNING: ThreadSanitizer|WARNING: MemorySanitizer|runtime error):.*seeded_\w+\.cu:\d+", re.DOTALL)


class Program:
    """One build of commit_bug."""

    def __init__(self, folder):
        self.command = [os.path.join(folder, "tests", "emulator", "commit_bug")]
        if not os.path.exists(self.command[0]):
            sys.exit(f"bug_matrix: {self.command[0]} does not exist; build the target commit_bug")
        self.mode = self.output("--mode").strip()
        # NOTE: GCC's ThreadSanitizer does not start where the kernel randomises more address bits than it knows of.
        if self.mode == "thread" and shutil.which("setarch"):
            self.command.insert(0, "setarch")
            self.command.insert(1, "-R")

    def output(self, *arguments):
        run = subprocess.run([*self.command, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
        return run.stdout + run.stderr

    def notice(self, bug, order, seed=1):
        """What noticed the bug: line, report, value or - (nothing)."""
        said = self.output(bug, order, seed)
        if REPORT_OF_SANITIZER.search(said):
            return "line"
        if f"{order}: nothing noticed" in said:
            return "-"
        return "value" if f"{order}: wrong value" in said else "report"

    def cells(self, bug):
        if self.mode == "plain":
            counted = []
            for order in ["random", "pct"]:
                seen = sum(self.notice(bug, order, seed) != "-" for seed in SEEDS)
                counted.append(f"{seen}/{len(SEEDS)}" if seen else "-")
            return [self.notice(bug, "forward"), self.notice(bug, "reverse"), *counted]
        answers = collections.Counter(self.notice(bug, order) for order in ["forward", "reverse", "pct"])
        return [", ".join(f"{answer} {count}/3" if len(answers) > 1 else answer for answer, count in answers.items())]


def main(folders):
    if not folders or folders[0].startswith("-"):
        print(__doc__.strip())
        return 0 if folders else 2
    programs = [Program(folder) for folder in folders]
    columns = [column for program in programs for column in COLUMNS[program.mode]]
    print("| bug | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for bug in programs[0].output("--list").split():
        cells = [cell for program in programs for cell in program.cells(bug)]
        print(f"| {bug.replace('_', ' ')} | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
