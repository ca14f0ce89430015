#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests scripts/coverage_table.py: lines are added up by floor, and a floor below the threshold, or missing, fails."""
import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
import coverage_table


class CoverageTable(unittest.TestCase):
    def run_on(self, files, *arguments):
        """(exit status, stdout, stderr) for files of (name, covered, total)."""
        summary = {"files": [{"filename": name, "line_covered": covered, "line_total": total} for name, covered, total in files]}
        printed, complained = io.StringIO(), io.StringIO()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
            path = os.path.join(folder, "summary.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(summary, file)
            status = coverage_table.main([path, *arguments])
        return status, printed.getvalue(), complained.getvalue()

    FILES = [("kernels/a/a.cpp", 90, 90), ("kernels/b/b.cpp", 0, 10), ("core/tensor.cpp", 899, 1000), ("apps/main.cpp", 0, 50)]

    def test_lines_are_added_up_by_floor(self):
        status, printed, _ = self.run_on(self.FILES, "kernels")
        self.assertEqual(status, 0)
        self.assertRegex(printed, r"kernels +100 +90 +90\.0\n")
        self.assertRegex(printed, r"0\.0 % +10 lines missed  kernels/b/b\.cpp")

    def test_low_floor_fails(self):
        status, _, complained = self.run_on(self.FILES, "kernels", "core")
        self.assertEqual(status, 1)
        self.assertIn("core has 89.9 %", complained)
        self.assertNotIn("kernels", complained)

    def test_threshold(self):
        self.assertEqual(self.run_on(self.FILES, "--at-least", "89.9", "core")[0], 0)
        self.assertEqual(self.run_on(self.FILES, "--at-least", "90.1", "kernels")[0], 1)

    def test_nearly_is_not_enough(self):
        self.assertEqual(self.run_on([("core/a.cpp", 8999, 10000)], "core")[0], 1)

    def test_missing_floor_fails(self):
        status, _, complained = self.run_on(self.FILES, "layers")
        self.assertEqual(status, 1)
        self.assertIn("layers", complained)


if __name__ == "__main__":
    unittest.main()
