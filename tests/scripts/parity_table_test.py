#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests scripts/parity_table.py: the largest error of an operation's problems is shown, and a failed, skipped or missing test is an error."""
import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
import parity_table


def case(name, error=None, **changes):
    test = {"name": name, "status": "RUN", "result": "COMPLETED", **changes}
    return test if error is None else {**test, "error": error, "allowed": "1.00e-05"}


class ParityTable(unittest.TestCase):
    def run_on(self, **suites):
        """(exit status, stdout, stderr) for suites of tests."""
        results = {"testsuites": [{"name": name, "testsuite": tests} for name, tests in suites.items()]}
        printed, complained = io.StringIO(), io.StringIO()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
            path = os.path.join(folder, "results.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(results, file)
            status = parity_table.main([path])
        return status, printed.getvalue(), complained.getvalue()

    PARITY = [case("max_pool_0", "2.00e-07"), case("max_pool_1", "3.00e-06"), case("sgd_0", "0.00e+00")]
    GRADIENT = [case("max_pool_0", "4.00e-09"), case("max_pool_1", "1.00e-09")]
    THREADS = [case("max_pool_0"), case("max_pool_1"), case("sgd_0")]

    def test_a_row_holds_the_largest_error(self):
        status, printed, complained = self.run_on(Parity=self.PARITY, Gradient=self.GRADIENT, Threads=self.THREADS, Operations=[case("AreDeclared")])
        self.assertEqual((status, complained), (0, ""))
        self.assertIn("| max_pool | 2 | 3.0e-06 | 1e-05 | 4.0e-09 | 1e-05 | same |\n", printed)
        self.assertIn("| sgd | 1 | 0.0e+00 | 1e-05 | no input with a gradient |  | same |\n", printed)
        self.assertNotIn("AreDeclared", printed)

    def test_the_card_has_a_table_of_its_own(self):
        status, printed, complained = self.run_on(Parity=self.PARITY, Gradient=self.GRADIENT, Threads=self.THREADS, Cuda_f32=self.PARITY, Cuda_bf16=[case(test["name"], "5.00e-03") for test in self.PARITY])
        self.assertEqual((status, complained), (0, ""))
        self.assertIn("| max_pool | 2 | 3.0e-06 | 1e-05 | 5.0e-03 | 1e-05 |\n", printed)
        status, printed, complained = self.run_on(Parity=self.PARITY, Gradient=self.GRADIENT, Threads=self.THREADS, Cuda_f32=self.PARITY[:2], Cuda_bf16=self.PARITY)
        self.assertEqual(status, 1)
        self.assertIn("sgd: not every problem was compared on the card", complained)
        self.assertIn("| sgd | 0 | none |  |", printed)

    def test_products_of_f32_have_a_table_for_the_operations_that_choose(self):
        suites = {"Parity": self.PARITY, "Gradient": self.GRADIENT, "Threads": self.THREADS, "Cuda_f32": self.PARITY, "Cuda_bf16": self.PARITY}
        pools = self.PARITY[:2]
        status, printed, complained = self.run_on(**suites, Cuda_tf32=[case(test["name"], "4.00e-04") for test in pools], Cuda_plain=pools)
        self.assertEqual((status, complained), (0, ""))
        self.assertIn("| max_pool | 2 | 3.0e-06 | 1e-05 | 4.0e-04 | 1e-05 | 3.0e-06 | 1e-05 |\n", printed)
        self.assertEqual(printed.count("| sgd |"), 2, "it has no choice")
        status, printed, complained = self.run_on(**suites, Cuda_tf32=pools, Cuda_plain=pools[:1])
        self.assertEqual(status, 1)
        self.assertIn("max_pool: not every problem was compared with every product of f32", complained)
        status, printed, complained = self.run_on(**suites, Cuda_tf32=[pools[0], {**pools[1], "failures": [{}]}], Cuda_plain=pools)
        self.assertEqual(status, 1)
        self.assertIn("| max_pool | 2 | 3.0e-06 | 1e-05 | **FAILED** |  | 3.0e-06 | 1e-05 |\n", printed)

    def test_a_failure_is_an_error(self):
        for wrong in ({"failures": [{}]}, {"result": "SKIPPED"}, {"status": "NOTRUN"}):
            for suite in ("Parity", "Gradient", "Threads"):
                suites = {"Parity": list(self.PARITY), "Gradient": list(self.GRADIENT), "Threads": list(self.THREADS)}
                suites[suite][0] = {**suites[suite][0], **wrong}
                status, printed, complained = self.run_on(**suites)
                self.assertEqual(status, 1)
                self.assertIn("max_pool: a test failed or did not run", complained)
                self.assertIn("**FAILED**", printed)

    def test_what_was_not_compared_is_an_error(self):
        self.assertEqual(self.run_on()[0], 1)
        self.assertIn("max_pool: 2 problems compared, 0 of them", self.run_on(Parity=self.PARITY, Gradient=self.GRADIENT)[2])
        self.assertIn("sgd: 0 problems", self.run_on(Parity=self.PARITY[:2], Gradient=self.GRADIENT, Threads=self.THREADS)[2])


if __name__ == "__main__":
    unittest.main()
