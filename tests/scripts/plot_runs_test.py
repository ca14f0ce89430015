#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests scripts/plot_runs.py: what it reads of a run, its errors, and, where matplotlib is installed, that it draws."""
import contextlib
import io
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
import plot_runs

METRICS = """epoch,step,lr,ratio,train_loss,train_top1,val_loss,val_top1,seconds,images_per_second
1,4,0.1,0,2.25,14.62,3.28,13.9,1.5,333
2,8,0.1,0.25,2.13,21.74,2.59,16.2,1.5,335
"""


class PlotRuns(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def run_with(self, text):
        """The folder of a run whose metrics.csv holds `text`."""
        run = tempfile.mkdtemp(dir=self.folder.name)
        with open(os.path.join(run, "metrics.csv"), "w", encoding="utf-8") as file:
            file.write(text)
        return run

    def main(self, *arguments):
        """(exit status, stderr)"""
        complained = io.StringIO()
        with contextlib.redirect_stderr(complained):
            status = plot_runs.main(arguments)
        return status, complained.getvalue()

    def test_columns_are_numbers(self):
        columns = plot_runs.read(self.run_with(METRICS))
        self.assertEqual(columns["epoch"], [1, 2])
        self.assertEqual(columns["val_top1"], [13.9, 16.2])
        self.assertEqual(columns["ratio"], [0, 0.25])

    def test_a_run_without_an_epoch_is_an_error(self):
        run = self.run_with(METRICS.splitlines()[0] + "\n")
        self.assertEqual(self.main(run, "--output", run + ".svg"), (1, f"plot_runs: {run}/metrics.csv has no epoch yet\n"))

    def test_no_run_is_an_error(self):
        status, complained = self.main(os.path.join(self.folder.name, "nowhere"), "--output", "x.svg")
        self.assertEqual(status, 1)
        self.assertIn("nowhere/metrics.csv", complained)

    def test_draws(self):
        run, output = self.run_with(METRICS), os.path.join(self.folder.name, "curves.svg")
        status, complained = self.main(run, "--output", output)
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            self.assertEqual(status, 1)
            self.assertIn("pip install matplotlib", complained)
            return
        self.assertEqual((status, complained), (0, ""))
        with open(output, encoding="utf-8") as file:
            first = file.read()
        self.assertIn("<svg", first)
        self.main(run, "--output", output)
        with open(output, encoding="utf-8") as file:
            self.assertEqual(file.read(), first, "the same runs give the same bytes")


if __name__ == "__main__":
    unittest.main()
