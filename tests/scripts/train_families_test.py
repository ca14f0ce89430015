#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests scripts/train_families.py: that no family is forgotten, and what it calls a loss that falls.   train_families_test.py [PROGRAM]

With the program `isda` its list of networks is held against the script's, and one family is trained on `shapes`.
"""
import math
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import train_families  # noqa: E402

PROGRAM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else None


class TrainFamiliesTest(unittest.TestCase):
    def test_the_family_of_a_name(self):
        for family, name in {**train_families.MEMBERS, "resnet": "resnet1202", "pyramidnet": "pyramidnet272_200", "imagenet_resnet": "imagenet_resnet152"}.items():
            self.assertEqual(train_families.family_of(name), family)

    def test_a_family_that_is_forgotten_is_named(self):
        listing = "name  parameters\nresnet20  0.27 M\n\ntransformer12_3  1 M\ntransformer24_3  2 M\n"
        self.assertEqual(train_families.forgotten(listing), ["transformer"])

    def test_what_falls(self):
        self.assertEqual(train_families.ends_of([4.0, 2.0] + [9.0] * 16 + [1.0, 0.0]), {"first": 3.0, "last": 0.5})
        self.assertEqual(train_families.ends_of([2.0, 1.0]), {"first": 2.0, "last": 1.0})
        for first, last, falls in [(2.0, 1.0, True), (1.0, 2.0, False), (1.0, 1.0, False), (1.0, math.nan, False), (math.nan, 1.0, False)]:
            self.assertIs(train_families.falls({"first": first, "last": last}), falls)
        self.assertFalse(train_families.falls(None))

    def test_the_table(self):
        row = {"model": "resnet20", "rate": 0.02, "first": 2.3, "last": 1.9, "train": 25.25, "val": 30.0, "speed": 99.6}
        text = train_families.table([row], "one epoch")
        self.assertIn("# Every family, one epoch\n", text)
        self.assertEqual(text.splitlines()[-1], "| resnet20 | 0.02 | 2.300 | 1.900 | 25.2 | 30.0 | 100 |")
        self.assertEqual(len({line.count("|") for line in text.splitlines()[2:]}), 1)

    @unittest.skipUnless(PROGRAM, "needs the program")
    def test_of_the_program(self):
        with tempfile.TemporaryDirectory(prefix="isda_test_") as folder:
            def run(*words):
                return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=300)

            self.assertEqual(run(PROGRAM, "data", "make-shapes", "--output", "data", "--train", "500", "--test", "20").returncode, 0)
            words = [sys.executable, os.path.join(ROOT, "scripts/train_families.py"), "--program", PROGRAM, "--dataset", "shapes", "--images", "300"]
            done = run(*words, "--families", "resnet")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"\n\| resnet20 \| 0\.02 \| 2\.\d+ \| \d\.\d+ \|")
            self.assertEqual(run(*words, "--families", "vgg").returncode, 2)
            # The folder holds a run now.
            failed = run(*words, "--families", "resnet")
            self.assertEqual(failed.returncode, 1)
            self.assertIn("already holds a run", failed.stderr)


if __name__ == "__main__":
    unittest.main()
