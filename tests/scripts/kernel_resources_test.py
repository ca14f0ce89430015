#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests scripts/kernel_resources.py: what ptxas says is read kernel by kernel, and a spill, a stack or a missing report is an error."""
import contextlib
import io
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
import kernel_resources


def report(stack=0, stores=0, loads=0, registers=40):
    """What ptxas prints for one kernel, as nvcc 13.0 does."""
    return (
        "ptxas info    : 0 bytes gmem\n"
        "ptxas info    : Compiling entry function '_ZN4isda7kernels12_GLOBAL__N_111relu_kernelIfEEvPKT_PS3_l' for 'sm_90a'\n"
        "ptxas info    : Function properties for _ZN4isda7kernels12_GLOBAL__N_111relu_kernelIfEEvPKT_PS3_l\n"
        f"    {stack} bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads\n"
        f"ptxas info    : Used {registers} registers, used 1 barriers, 1024 bytes smem\n"
        "ptxas info    : Compile time = 3.141 ms\n"
    )


class KernelResources(unittest.TestCase):
    def run_on(self, text):
        """(exit status, stdout, stderr) for a build folder with one report, or with none."""
        printed, complained = io.StringIO(), io.StringIO()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
            objects = os.path.join(folder, "CMakeFiles", "isda_cuda.dir", "kernels", "elementwise")
            os.makedirs(objects)
            if text is not None:
                with open(os.path.join(objects, "elementwise.cu.o.ptxas"), "w", encoding="utf-8") as file:
                    file.write(text)
            status = kernel_resources.main([folder])
        return status, printed.getvalue(), complained.getvalue()

    def test_a_kernel_is_a_row(self):
        status, printed, complained = self.run_on(report())
        self.assertEqual((status, complained), (0, "kernel_resources: 1 kernels, 0 with spills or a stack\n"))
        self.assertRegex(printed, r"^sm_90a +40 registers +0 spilled +0 stack +1024 shared +kernels/elementwise/elementwise.cu: relu_kernel<float>\n$")

    def test_a_spill_is_an_error(self):
        for spilling in (report(stores=8), report(loads=8), report(stack=16)):
            status, _, complained = self.run_on(report() + spilling)
            self.assertEqual(status, 1)
            self.assertIn("kernels/elementwise/elementwise.cu: relu_kernel<float> for sm_90a", complained)

    def test_a_report_that_cannot_be_read_is_an_error(self):
        for text in (None, "", report().replace("Used", "Took")):
            self.assertEqual(self.run_on(text)[0], 1)


if __name__ == "__main__":
    unittest.main()
