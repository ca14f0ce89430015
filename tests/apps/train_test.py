#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`isda train`, `eval`, `models`: statuses, files, signals, a terminal and a pipe, what bad input is told.   train_test.py PROGRAM"""
import json
import os
import pty
import signal
import subprocess
import time

import program


class TrainTest(program.ProgramTest):
    def setUp(self):
        super().setUp()
        self.succeeds("data", "make-shapes", "--output", "shapes", "--train", "96", "--test", "32", "--seed", "1")

    def words(self, *more, output="run"):
        return ["train", "--dataset", "shapes", "--data-dir", "shapes", "--model", "resnet8", "--batch-size", "32", "--output", output, *more]

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def rows(self, run):
        with open(self.path(run, "metrics.csv")) as file:
            return file.read().splitlines()

    def test_a_run_and_its_evaluation(self):
        printed = self.succeeds(*self.words("--epochs", "2", "--loss", "isda", "--lambda_0", "0.25"))
        for text in ["2 epochs, batch 32, lr 0.1", "\ndevice     ", "lambda_0 0.25", "epoch   2/2",
                     "\nclass statistics: 0.2 MB full, 5.2 kB diagonal, 0.2 MB lowrank:62; using full\n"]:
            self.assertIn(text, printed)
        self.assertNotIn("\r", printed)
        rows = self.rows("run")
        self.assertEqual(rows[0], "epoch,step,lr,ratio,train_loss,train_top1,val_loss,val_top1,seconds,images_per_second,correction")
        self.assertEqual([row.split(",")[:2] for row in rows[1:]], [["1", "3"], ["2", "6"]])
        with open(self.path("run", "config.json")) as file:
            config = json.load(file)
        self.assertEqual((config["lambda_0"], config["loss"], config["epochs"]), (0.25, "isda", 2))

        evaluated = self.succeeds("eval", "--checkpoint", "run/last.safetensors", "--data-dir", "shapes")
        self.assertIn("resnet8 on shapes: 32 images", evaluated)
        top1 = float(rows[2].split(",")[7])
        self.assertIn(f"top1 {top1:.2f} %", evaluated)

    def test_held_out_images(self):
        printed = self.succeeds(*self.words("--epochs", "1", "--validation", "20"))
        self.assertIn("\nvalidation 20 of the training images, held out\n", printed)
        self.assertIn("   val ", printed)
        row = self.rows("run")[1].split(",")
        with open(self.path("run", "config.json")) as file:
            self.assertEqual(json.load(file)["validation"], 20)
        evaluation = ["eval", "--checkpoint", "run/last.safetensors", "--data-dir", "shapes"]
        self.assertIn(f"20 held-out images, loss {float(row[6]):.4f}", self.succeeds(*evaluation, "--split", "validation"))
        self.assertIn("resnet8 on shapes: 32 images, ", self.succeeds(*evaluation))
        self.succeeds(*self.words("--epochs", "1", "--max-steps", "1", output="whole"))
        self.ends_with(["held out no training images", "--split test"], "eval", "--checkpoint", "whole/last.safetensors", "--data-dir", "shapes",
                       "--split", "validation")

    def test_config_round_trips_and_flags_override_it(self):
        self.succeeds(*self.words("--epochs", "1", "--seed", "7", "--no-augment", "--log-steps", "1"))
        self.succeeds("train", "--config", "run/config.json", "--output", "again")
        with open(self.path("run", "steps.csv")) as a, open(self.path("again", "steps.csv")) as b:
            self.assertEqual(a.read(), b.read())
        with open(self.path("run", "config.json")) as a, open(self.path("again", "config.json")) as b:
            first, second = json.load(a), json.load(b)
        self.assertEqual({**first, "output": "again"}, second)
        self.succeeds("train", "--config", "run/config.json", "--output", "other", "--seed", "8")
        with open(self.path("run", "steps.csv")) as a, open(self.path("other", "steps.csv")) as b:
            self.assertNotEqual(a.read(), b.read())

    def test_official_augmentation(self):
        def config(output, *words):
            printed = self.succeeds(*self.words("--max-steps", "1", *words, output=output))
            with open(self.path(output, "config.json")) as file:
                json_of = json.load(file)
            return printed, tuple(json_of[name] for name in ("policy", "cutout", "cutout_holes"))

        printed, found = config("a", "--autoaugment", "--n_holes", "2", "--length", "8")
        self.assertEqual(found, ("autoaugment-cifar10", 8, 2))
        self.assertIn("\naugment    crop, flip, autoaugment-cifar10, cutout 8 x 2\n", printed)
        self.assertEqual(config("b", "--length", "8", "--cutout")[1], ("none", 8, 1))
        self.assertEqual(config("c", "--cutout", "--no-augment")[1], ("none", 16, 1))
        printed, found = config("d", "--cutout", "12", "--policy", "randaugment:1:5", "--mixup", "0.2", "--cutmix=1", "--color-jitter", "0.4")
        self.assertEqual(found, ("randaugment:1:5", 12, 1))
        self.assertIn("\naugment    crop, flip, randaugment:1:5, colour jitter 0.4, cutout 12, mixup 0.2, cutmix 1\n", printed)
        self.fails(2, ["--length is the side of what --cutout cuts"], *self.words("--length", "8", output="e"))
        self.fails(2, ["--autoaugment is a --policy"], *self.words("--autoaugment", "--policy", "none", output="e"))
        self.fails(2, ["--mixup goes with --loss ce"], *self.words("--mixup", "1", "--loss", "isda", output="e"))

    def test_official_spellings(self):
        printed = self.succeeds("train", "--dataset", "shapes", "--data_dir", "shapes", "--model", "resnet", "--layers", "8", "--cos_lr", "--epochs", "1",
                                "--batch_size", "48", "--max_steps", "1", "--output", "run")
        self.assertIn("(cosine)", printed)
        self.assertIn("resnet8", printed)
        printed = self.succeeds("train", "--dataset", "shapes", "--data_dir", "shapes", "--model", "wide_resnet", "--layers", "10", "--widen-factor", "1",
                                "--droprate", "0.25", "--epochs", "1", "--max_steps", "1", "--output", "wide")
        self.assertIn("weight decay 0.0005, dropout 0.25", printed)
        self.assertIn("wide_resnet10_1", printed)
        printed = self.succeeds("train", "--dataset", "shapes", "--data_dir", "shapes", "--model", "densenet_bc", "--layers", "10", "--growth_rate", "4",
                                "--epochs", "1", "--max_steps", "1", "--output", "dense")
        self.assertIn("batch 64", printed)
        self.assertIn("densenet_bc10_4", printed)

    def test_signals_save_and_resume_goes_on(self):
        self.succeeds(*self.words("--epochs", "40", "--log-steps", "1", output="whole"))
        for number, status in [(signal.SIGINT, 130), (signal.SIGTERM, 143)]:
            output = f"stopped{status}"
            process = subprocess.Popen([program.PROGRAM, *self.words("--epochs", "40", "--log-steps", "1", output=output)], cwd=self.folder,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and not (os.path.exists(self.path(output, "metrics.csv")) and len(self.rows(output)) > 2):
                time.sleep(0.01)
            process.send_signal(number)
            printed, complaints = process.communicate(timeout=60)
            self.assertEqual((process.returncode, complaints), (status, ""))
            self.assertIn("--resume", printed)
            self.assertLess(len(self.rows(output)), 41)
            self.assertTrue(os.path.exists(self.path(output, "last.safetensors")))
            self.succeeds(*self.words("--epochs", "40", "--log-steps", "1", "--resume", output=output))
            with open(self.path("whole", "steps.csv")) as a, open(self.path(output, "steps.csv")) as b:
                self.assertEqual(a.read(), b.read())

    def test_killed_at_any_moment_it_resumes(self):
        self.succeeds(*self.words("--epochs", "12", output="whole"))
        for moment in range(1, 6):
            process = subprocess.Popen([program.PROGRAM, *self.words("--epochs", "12", *(["--resume"] if moment > 1 else []), output="killed")],
                                       cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            time.sleep(0.05 + 0.15 * moment)
            process.kill()
            process.communicate()
        self.succeeds(*self.words("--epochs", "12", "--resume", output="killed"))
        with open(self.path("whole", "last.safetensors"), "rb") as a, open(self.path("killed", "last.safetensors"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        losses = [[row.split(",")[4:8] for row in self.rows(run)] for run in ["whole", "killed"]]
        self.assertEqual(losses[0], losses[1])

    def test_a_terminal_sees_a_bar(self):
        main, terminal = pty.openpty()
        process = subprocess.Popen([program.PROGRAM, *self.words("--epochs", "1")], cwd=self.folder, stdout=terminal, stderr=subprocess.PIPE)
        os.close(terminal)
        seen = b""
        try:
            while chunk := os.read(main, 4096):
                seen += chunk
        except OSError:  # Linux ends a closed terminal with EIO
            pass
        self.assertEqual(process.wait(timeout=60), 0)
        process.stderr.close()
        for text in [b"[####################] epoch 1/1 step 3/3 loss ", b"images/s", b" left", b"\r"]:
            self.assertIn(text, seen)

    def test_wrong_usage(self):
        self.fails(2, ["isda train:", "--epochs"], *self.words("--epoch", "3"))
        self.fails(2, ["did you mean 'isda'"], *self.words("--loss", "isd"))
        self.fails(2, ["--covariance is 'lowrank:x', expected full, diagonal or lowrank:R"], *self.words("--covariance", "lowrank:x"))
        self.fails(2, ["there is no model 'resnet23'"], "train", "--model", "resnet23")
        self.fails(2, ["--lr is -1, expected 0 to"], *self.words("--lr", "-1"))
        self.fails(2, ["--f32-products tf32 is for --device cuda, got --device cpu"], *self.words("--f32-products", "tf32", "--device", "cpu"))
        with open(self.path("bad.json"), "w") as file:
            file.write('{"epocs": 3}')
        self.fails(2, ["bad.json", "did you mean 'epochs'"], *self.words("--config", "bad.json"))

    def ends_with(self, expected, *words):
        """Status 1 and one line on stderr that holds each text of `expected`; what is used may have been printed before."""
        done = self.run_isda(*words)
        self.assertEqual(done.returncode, 1, (words, done.stderr))
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for text in expected:
            self.assertIn(text, done.stderr)

    def test_errors_of_the_run(self):
        self.ends_with(["nowhere", "cs.toronto.edu"], "train", "--dataset", "cifar10", "--data-dir", "nowhere", "--output", "x")
        with open(self.path("shapes", "data_batch_2.bin"), "ab") as file:
            file.write(b"x")
        self.ends_with(["data_batch_2.bin"], *self.words())
        self.assertFalse(os.path.exists(self.path("run", "config.json")))

    def test_devices(self):
        """In a build with or without CUDA, on a machine with or without a card."""
        for device, said in [("cpu", "cpu (as asked for)"), ("auto", "(auto: ")]:
            lines = [line for line in self.succeeds(*self.words("--epochs", "1", "--device", device, output=device)).splitlines() if "device" in line]
            self.assertEqual(len(lines), 1, lines)
            self.assertTrue(lines[0].startswith("device     "), lines)
            self.assertIn(said, lines[0])
        reason = self.why_no_card(lines[0])
        if reason is None:
            return
        self.assertRegex(reason, "^(this build has no CUDA|no NVIDIA driver is installed|the NVIDIA driver .+|the GPU does not answer .+|.+; this build has code for .+)$")
        self.ends_with(["isda train: [cuda] ", reason, "run with --device cpu"], *self.words("--device", "cuda", output="cuda"))
        self.assertFalse(os.path.exists(self.path("cuda")))
        self.ends_with(["isda train: --f32-products plain is for the card", f"the device is cpu (auto: {reason})"], *self.words("--f32-products", "plain", output="plain"))
        evaluation = ["eval", "--checkpoint", "auto/last.safetensors", "--data-dir", "shapes"]
        self.ends_with(["isda eval: [cuda] ", reason, "run with --device cpu"], *evaluation, "--device", "cuda")
        self.assertIn(f"device cpu (auto: {reason})\n", self.succeeds(*evaluation))
        self.fails(2, ["'cdua' is none of", "did you mean cuda?"], *evaluation, "--device", "cdua")

    def test_a_loss_that_is_not_finite_names_step_and_rate(self):
        self.ends_with(["the loss is", "at step", "learning rate 1e+06"], *self.words("--epochs", "9", "--lr", "1e6", "--schedule", "constant", output="wild"))

    def test_checkpoint_of_another_model(self):
        self.succeeds(*self.words("--epochs", "1"))
        done = self.run_isda("eval", "--checkpoint", "run/last.safetensors", "--data-dir", "shapes", "--model", "resnet14")
        self.assertEqual(done.returncode, 1)
        for text in ["30 missing", "layer1.1.conv1.weight (16,16,3,3)"]:
            self.assertIn(text, done.stderr)

    def test_disk_full(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("there is no /dev/full")
        os.mkdir(self.path("run"))
        os.symlink("/dev/full", self.path("run", "metrics.csv.tmp"))
        done = self.run_isda(*self.words("--epochs", "1"))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("metrics.csv", done.stderr)

    def test_models(self):
        listed = self.succeeds("models")
        self.assertIn("resnet110                         1730714     1.7 M", listed)
        self.assertIn("wide_resnet28_10                 36479194    36.5 M", listed)
        self.assertIn("imagenet_resnet50                25557032    25.6 M       4089184256     2048     224   torchvision", listed)
        self.assertIn("imagenet_resnet18                11181642", self.succeeds("models", "imagenet_resnet18", "--classes", "10"))
        self.assertIn("layer3.0.downsample.0.weight", self.succeeds("models", "resnet20"))
        self.fails(1, "did you mean 'resnet20'", "models", "resnt20")


if __name__ == "__main__":
    program.main()
