# SPDX-License-Identifier: Apache-2.0
"""Runs the isda program for tests: PROGRAM is the first argument of the script, the rest belongs to unittest."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else None


class ProgramTest(unittest.TestCase):
    """Each test has a fresh folder, self.folder, in which the program runs."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="isda_test_")
        self.addCleanup(holder.cleanup)
        self.folder = holder.name

    def run_isda(self, *words, **options):
        return subprocess.run([PROGRAM, *words], capture_output=True, text=True, cwd=self.folder, check=False, timeout=300, **options)

    def succeeds(self, *words):
        """Runs the program, which must succeed without a word on stderr; returns its stdout."""
        done = self.run_isda(*words)
        self.assertEqual((done.returncode, done.stderr), (0, ""), words)
        return done.stdout

    def fails(self, status, expected, *words):
        """Runs the program, which must end with `status`, print nothing, and complain in one line that holds each text of `expected`."""
        done = self.run_isda(*words)
        self.assertEqual(done.returncode, status, (words, done.stderr))
        self.assertEqual(done.stdout, "", words)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for text in [expected] if isinstance(expected, str) else expected:
            self.assertIn(text, done.stderr)

    def why_no_card(self, device_line):
        """What `auto` says of the card in "... cpu (auto: REASON)", whatever this build and machine are; None where there is a card."""
        chosen, reason = re.search(r"(cpu|cuda) \(auto: ([^)]*)\)$", device_line, re.MULTILINE).groups()
        return None if chosen == "cuda" or " found, but " in reason else reason


def main():
    if PROGRAM is None:
        sys.exit(f"usage: {sys.argv[0]} PROGRAM")
    unittest.main()
