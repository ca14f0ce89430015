# SPDX-License-Identifier: Apache-2.0
"""Timing of several configurations in alternating rounds, so that a noisy machine is equally noisy to each; one JSON line a configuration.

A configuration is a dict that describes it and a function that does one step. CPU steps are timed one by one. On CUDA the steps of a round are
timed together, between two events, since single steps overlap with their own launches; the round's mean is then one sample.
"""
import contextlib
import json
import signal
import statistics
import sys
import time

import torch


def add_arguments(parser):
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of PyTorch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps-per-round", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=3, help="untimed steps before the first round")
    parser.add_argument(
        "--limit", type=float, metavar="SECONDS", help="for all warm-ups together; what is not ready by then (compiling takes minutes) is left out, and said so"
    )
    parser.add_argument(
        "--serve", action="store_true", help="for compare.py: one round for each line on standard input, samples printed at once"
    )


def prepare(options):
    torch.set_num_threads(options.threads)
    if options.device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True


def peer_name():
    return f"PyTorch {torch.__version__}"


def time_round(step, steps, device):
    """The samples of one round: (milliseconds, milliseconds of CPU time of all threads) each."""
    if device == "cuda":
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        cpu = time.process_time()
        start.record()
        for _ in range(steps):
            step()
        stop.record()
        torch.cuda.synchronize()
        return [(start.elapsed_time(stop) / steps, 1e3 * (time.process_time() - cpu) / steps)]
    samples = []
    for _ in range(steps):
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        samples.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
    return samples


@contextlib.contextmanager
def interrupted_after(seconds):
    """TimeoutError in what is inside when the seconds are over; None: never."""
    if seconds is None:
        yield
        return

    def stop(*_):
        raise TimeoutError("not ready within the limit")

    if seconds <= 0:
        stop()
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Configuration:
    def __init__(self, description, build, batch=None):
        """`build()` returns the step function; it is called once, and a failure of it or of the warm-up is reported, not raised."""
        self.description, self.build, self.batch = description, build, batch
        self.step, self.samples, self.error = None, [], None

    def warm_up(self, steps, seconds=None):
        """With `seconds`, gives up when they are over."""
        try:
            with interrupted_after(seconds):
                self.step = self.build()
                for _ in range(steps):
                    self.step()
        except Exception as error:  # NOTE: compile and graph capture fail in many ways; the other configurations still count.
            self.error = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]

    def summary(self):
        if self.error:
            return {**self.description, "error": self.error}
        wall = [sample[0] for sample in self.samples]
        line = {**self.description, "samples": len(wall), "min_ms": round(min(wall), 3), "median_ms": round(statistics.median(wall), 3)}
        line["median_cpu_ms"] = round(statistics.median(sample[1] for sample in self.samples), 3)
        if self.batch:
            line["images_per_second"] = round(1e3 * self.batch / line["median_ms"], 1)
            line["best_images_per_second"] = round(1e3 * self.batch / line["min_ms"], 1)
        return line


def measure(configurations, options):
    """Warms up, runs the rounds and prints the lines; exit status 1 where none works. With --serve, a round for each line of standard input."""
    end = None if options.limit is None else time.monotonic() + options.limit
    for configuration in configurations:
        configuration.warm_up(options.warmup, None if end is None else end - time.monotonic())
    working = [configuration for configuration in configurations if not configuration.error]
    if options.serve:
        print(json.dumps({"configurations": [configuration.description for configuration in working]}), flush=True)
        for _ in sys.stdin:
            milliseconds = [[wall for wall, _ in time_round(c.step, options.steps_per_round, options.device)] for c in working]
            print(json.dumps({"milliseconds": milliseconds}), flush=True)
        return
    for _ in range(options.rounds):
        for configuration in working:
            configuration.samples += time_round(configuration.step, options.steps_per_round, options.device)
    for configuration in configurations:
        print(json.dumps(configuration.summary()), flush=True)
    if not working:
        sys.exit("no configuration works")


def captured(step, device):
    """`step` captured once as a CUDA graph and replayed. The step must write into memory that stays where it is."""
    if device != "cuda":
        raise RuntimeError("cuda-graph needs --device cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


MODES = ["eager", "compile", "compile-max-autotune", "compile-reduce-overhead", "cuda-graph", "compile-cuda-graph"]


def compiled(function, mode):
    """`function` under torch.compile as the mode says; eager and cuda-graph leave it as it is."""
    if not mode.startswith("compile"):
        return function
    how = {"compile": "default", "compile-cuda-graph": "max-autotune-no-cudagraphs"}.get(mode, mode[len("compile-") :])
    return torch.compile(function, mode=how)
