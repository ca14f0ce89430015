#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of scripts/gpu_report.py on a folder as scripts/gpu_check.sh leaves it, and of what gpu_check.sh refuses."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def case(name, **more):
    return {"name": name, "result": "COMPLETED", **more}


class GpuReport(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.work = os.path.join(self.folder.name, "work")
        os.makedirs(os.path.join(self.work, "run"))

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, text):
        with open(os.path.join(self.work, name), "w", encoding="utf-8") as file:
            file.write(text)

    def report(self):
        run = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "gpu_report.py"), self.work, "--gpu", "NVIDIA H100 80GB HBM3", "--output", self.folder.name, "--data", "CIFAR-10 (JPEG copy)"],
                             capture_output=True, text=True, check=True, cwd=ROOT)
        page = run.stdout.strip()
        self.assertRegex(os.path.basename(page), r"^nvidia-h100-80gb-hbm3-\d{4}-\d\d-\d\d\.md$")
        with open(page, encoding="utf-8") as file:
            text = file.read()
        with open(page[:-3] + ".json", encoding="utf-8") as file:
            return text, json.load(file)

    def test_everything_that_ran_is_told(self):
        self.write("parts.tsv", "build\t0\t100\ntests_kernels\t1\t12\n")
        suites = [{"name": "Cuda", "testsuite": [case("good"), case("bad", failures=[{"failure": "wrong"}]), {"name": "left_out", "result": "SKIPPED"}]}]
        self.write("kernels.json", json.dumps({"testsuites": suites}))
        relu = {"name": "relu/x(8)/manual_time", "real_time": 2.5, "GB/s": 100.0, "of_copy": 0.5, "GFLOP/s": 9.0, "label": "vendor: -"}
        product = {"name": "linear/x(8,8)/manual_time", "real_time": 4.0, "GB/s": 10.0, "of_copy": 0.25, "GFLOP/s": 90.0, "of_roofline": 0.625, "vendor_us": 5.0, "x_vendor": 1.25, "tf32_us": 3.0, "x_tf32": 0.75,
                   "label": "vendor: cuBLAS 13.1; without bias | tf32: cuBLAS 13.1; without bias"}
        wrong = {"name": "conv2d/x(1)/manual_time", "real_time": 4.0, "label": "vendor: - MISMATCH y: error 0.9 of the largest magnitude, allowed 0.02, cuDNN 9.19"}
        context = {"date": "today", "copy GB/s": "3000", "f32 TFLOP/s": "50", "vendor": "cuDNN 9.19, cuBLAS 13.1"}
        self.write("bench_f32.json", json.dumps({"context": context, "benchmarks": [relu, product, {"name": "no/manual_time", "error_occurred": True}]}))
        self.write("bench_bf16.json", json.dumps({"context": {"bf16 TFLOP/s": "780"}, "benchmarks": [wrong]}))
        step = [{"what": "resnet_step", "precision": "bf16", "mode": "eager", "median_ms": 3.0}, {"what": "resnet_step", "precision": "bf16", "mode": "cuda-graph", "median_ms": 1.5},
                {"what": "resnet_step", "mode": "compile", "error": "no"}, {"peak_resident_mb": 500}]
        head = [{"what": "isda_head", "N": 128, "C": 10, "A": 64, "form": "dense", "mode": "eager", "median_ms": 0.5}]
        self.write("peers.log", "loading\n" + "".join(json.dumps(line) + "\n" for line in step + head) + '{"what": "isda_head", "mo')
        dense = {"what": "isda_ladder", "level": "01_dense", "idea": "whole arrays", "N": 128, "C": 100, "A": 64, "us": 400.0, "of_roofline": 0.02, "launches": 24, "bytes": 4e7, "flop": 2e8}
        fused = {**dense, "level": "06_fused", "idea": "one pass", "us": 80.0, "of_roofline": 0.104, "launches": 20}
        full = {**dense, "A": 2048, "error": "the card has no 9 GiB more"}
        del full["us"]
        self.write("ladder.log", "".join(json.dumps(line) + "\n" for line in (dense, fused, full, {**fused, "A": 2048})) + '{"what": "isda_lad')
        self.write("run/metrics.csv", "epoch,val_top1,images_per_second\n1,40,1000\n2,55.5,2000\n")
        text, found = self.report()
        self.assertEqual(found["tests"]["kernels"], {"ran": 2, "skipped": 1, "failed": ["Cuda.bad"]})
        self.assertEqual([(line["name"], line["type"]) for line in found["bench"]], [("relu/x(8)", "f32"), ("linear/x(8,8)", "f32"), ("conv2d/x(1)", "bf16")])
        self.assertEqual((found["bench"][1]["x_vendor"], found["bench"][1]["of_roofline"]), (1.25, 0.625))
        self.assertEqual(found["rates"], {"vendor": "cuDNN 9.19, cuBLAS 13.1", "copy GB/s": "3000", "f32 TFLOP/s": "50", "bf16 TFLOP/s": "780"})
        for expected in ("| build | green | 100 |", "| tests_kernels | status 1 | 12 |", "| kernels | 2 | 1 | 1: Cuda.bad |", "| relu/x(8) | f32 | 2.5 | 100 | 50 % | 9 | - | - | - | - | - |",
                         "| linear/x(8,8) | f32 | 4.0 | 10 | 25 % | 90 | 62 % | 5.0 | 1.25 | 0.75 | cuBLAS 13.1; without bias; tf32: cuBLAS 13.1; without bias |",
                         "| conv2d/x(1) | bf16 | 4.0 | 0 | - | 0 | - | - | - | - | MISMATCH y: error 0.9 of the largest magnitude, allowed 0.02, cuDNN 9.19 |",
                         "**1 of them have another result than the library", "copy GB/s 3000, f32 TFLOP/s 50, bf16 TFLOP/s 780.", "| 128, 10, 64, dense, eager | 0.500 |",
                         "test error 44.50 %, 2000 images/s", "CIFAR-10 (JPEG copy)", "| compile | no |", "| 128, 100, 64 | 01_dense: whole arrays | 400.0 | 100 | 500 | 2 % | 1.00 | 24 | 40.0 |",
                         "| 128, 100, 64 | 06_fused: one pass | 80.0 | 500 | 2500 | 10 % | 5.00 | 20 | 40.0 |", "| 128, 100, 2048 | 01_dense | did not run: the card has no 9 GiB more | - |",
                         "| 128, 100, 2048 | 06_fused: one pass | 80.0 | 500 | 2500 | 10 % | - | 20 | 40.0 |"):
            self.assertIn(expected, text)
        self.assertNotIn("no figure", text)
        self.assertLess(text.index("| bf16, cuda-graph | 1.500 |"), text.index("| bf16, eager | 3.000 |"), "the best stands first")

    def test_parts_that_were_cut_off_are_left_out(self):
        self.write("parts.tsv", "build\t124\t400\n")
        self.write("kernels.json", '{"testsuites": [')
        text, found = self.report()
        self.assertIn("| build | status 124 | 400 |", text)
        self.assertEqual((found["tests"], found["bench"], found["ladder"], found["peers"], found["training"]), ({}, [], [], [], []))


class GpuCheck(unittest.TestCase):
    def run_check(self, *arguments):
        with tempfile.TemporaryDirectory() as empty:
            # NOTE: a PATH without nvidia-smi.
            for program in ("bash", "sed", "head", "dirname", "nproc", "env"):
                os.symlink(next(os.path.join(folder, program) for folder in os.environ["PATH"].split(":") if os.path.exists(os.path.join(folder, program))), os.path.join(empty, program))
            return subprocess.run([os.path.join(ROOT, "scripts", "gpu_check.sh"), *arguments], capture_output=True, text=True, check=False, env={"PATH": empty})

    def test_without_a_gpu_it_says_so(self):
        run = self.run_check()
        self.assertEqual(run.returncode, 1)
        self.assertEqual(run.stderr, "gpu_check: nvidia-smi names no GPU: this check needs a machine with one\n")

    def test_a_part_that_is_not_there_is_refused(self):
        run = self.run_check("--only", "tests,warp")
        self.assertEqual(run.returncode, 2)
        self.assertIn('there is no part "warp"', run.stderr)


if __name__ == "__main__":
    unittest.main()
