#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does what docs/emulator.md says of its example: the race in it shows, hides and is found as the page says; mended, it is silent.

    tests/docs/emulator_page_test.py [test]      needs g++ and the headers of the CUDA runtime (ISDA_CUDA_HEADERS, or as scripts/emulate.sh finds them)
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(ROOT, "docs", "emulator.md"), encoding="utf-8") as page:
    PAGE = page.read()
PROGRAM = re.search(r"```cpp\n(// file: race\.cu\n.*?)```", PAGE, re.DOTALL)[1]
BUG = "    // The bug: a __syncthreads() is missing here.\n"
LINE = 1 + PROGRAM[: PROGRAM.index("partial[i] += ")].count("\n")


class EmulatorPage(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.folder.cleanup()

    def emulate(self, *flags, program=PROGRAM, **environment):
        path = os.path.join(self.folder.name, "race.cu")
        with open(path, "w", encoding="utf-8") as file:
            file.write(program)
        return subprocess.run([os.path.join(ROOT, "scripts", "emulate.sh"), *flags, path], capture_output=True, text=True, check=False, env={**os.environ, **environment})

    def test_the_orders_print_what_the_page_says(self):
        said = re.findall(r"^(?:ISDA_EMULATOR_ORDER=(\w+) )?scripts/emulate\.sh race\.cu +# (.+)$", PAGE, re.MULTILINE)
        self.assertEqual([order for order, _ in said], ["", "reverse", "pct"])
        for order, printed in said:
            self.assertEqual(self.emulate(ISDA_EMULATOR_ORDER=order or "forward").stdout.strip(), printed)
        mended = PROGRAM.replace(BUG, "    __syncthreads();\n")
        for order in ("forward", "reverse", "pct"):
            self.assertEqual(self.emulate(program=mended, ISDA_EMULATOR_ORDER=order).stdout.strip(), "256 256 256 256")

    def test_thread_sanitizer_names_the_line(self):
        self.assertIn(f"race.cu:{LINE}\n", PAGE)
        found = self.emulate("--sanitize", "thread")
        self.assertNotEqual(found.returncode, 0)
        self.assertIn("ThreadSanitizer: data race", found.stderr)
        self.assertRegex(found.stderr, rf"#0 sum_kernel\(float const\*, float\*\) \S*race\.cu:{LINE}\b")
        mended = self.emulate("--sanitize", "thread", program=PROGRAM.replace(BUG, "    __syncthreads();\n"))
        self.assertEqual((mended.returncode, mended.stderr, mended.stdout.strip()), (0, "", "256 256 256 256"))

    def test_the_counts_are_those_of_the_page(self):
        rows = [line.split() for line in self.emulate("--counts").stderr.splitlines()]
        self.assertEqual(rows, [line.split() for line in re.search(r"^ +kernel +runs.*\n.*", PAGE, re.MULTILINE)[0].splitlines()])

    def test_a_debugger_stops_where_the_page_says(self):
        if not shutil.which("gdb"):
            self.skipTest("gdb is not installed")
        program = self.emulate("--no-run").stdout.strip()
        commands = re.findall(r"^ +\(gdb\) (.+)$", PAGE, re.MULTILINE)
        run = subprocess.run(["gdb", "-q", "-batch", *(word for command in commands for word in ("-ex", command)), program], capture_output=True, text=True, check=False)
        self.assertIn("$1 = 128", run.stdout)
        self.assertIn("$2 = {1, 1, 1, 1}", run.stdout)


if __name__ == "__main__":
    unittest.main()
