#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What scripts/gpu_check.sh found, as one JSON file and one page: which parts are green, tests, benches, the peer's best, the training.

    scripts/gpu_report.py WORK --gpu NAME --output DIR [--data NAME]      WORK: the folder that gpu_check.sh filled
"""
import argparse
import csv
import datetime
import json
import os
import re
import subprocess
import sys


def read_json(path):
    """What is in the file; None where there is none, or only the beginning of one."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def parts_of(work):
    with open(os.path.join(work, "parts.tsv"), encoding="utf-8") as file:
        return [{"part": name, "status": int(status), "seconds": int(seconds)} for name, status, seconds in csv.reader(file, delimiter="\t")]


def tests_of(work):
    """Of each test program: how many ran, failed and were skipped, and the names of those that failed."""
    tests = {}
    for name in ("kernels", "core", "training"):
        report = read_json(os.path.join(work, f"{name}.json"))
        if report is None:
            continue
        cases = [(f"{suite['name']}.{case['name']}", case) for suite in report["testsuites"] for case in suite["testsuite"]]
        tests[name] = {
            "ran": sum(case.get("result") == "COMPLETED" for _, case in cases),
            "skipped": sum(case.get("result") == "SKIPPED" for _, case in cases),
            "failed": [full for full, case in cases if case.get("failures")],
        }
    return tests


def benches_of(work):
    lines = []
    for kind in ("f32", "bf16"):
        for line in (read_json(os.path.join(work, f"bench_{kind}.json")) or {}).get("benchmarks", []):
            if not line.get("error_occurred"):
                lines.append({"type": kind, "name": re.sub("/manual_time$", "", line["name"]), "us": line["real_time"], **{key: line[key] for key in ("GFLOP/s", "GB/s", "of_copy") if key in line}})
    return lines


def peers_of(work):
    """The lines that PyTorch's script printed, one JSON object each."""
    try:
        with open(os.path.join(work, "peers.log"), encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.startswith("{")]
    except OSError:
        return []


def training_of(work):
    try:
        with open(os.path.join(work, "run", "metrics.csv"), encoding="utf-8") as file:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    except OSError:
        return []


def text_of(*command):
    """What a program prints; nothing where it is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def page_of(report):
    lines = [f"# {report['gpu']}, {report['date']}", "", f"Commit {report['commit']}, driver {report['driver']}, {report['nvcc']}.", "", "    scripts/gpu_check.sh", ""]
    lines += ["| part | | seconds |", "|---|---|---|"]
    lines += [f"| {part['part']} | {'green' if part['status'] == 0 else 'status ' + str(part['status'])} | {part['seconds']} |" for part in report["parts"]]
    if report["tests"]:
        lines += ["", "| tests on the card | ran | skipped | failed |", "|---|---|---|---|"]
        for name, found in report["tests"].items():
            lines.append(f"| {name} | {found['ran']} | {found['skipped']} | {len(found['failed'])}{': ' + ', '.join(found['failed'][:8]) if found['failed'] else ''} |")
    if report["training"]:
        last = report["training"][-1]
        lines += ["", f"ResNet-32 with ISDA on {report['data']}, {len(report['training'])} epochs in f32: test error {100 - last['val_top1']:.2f} %, {last['images_per_second']:.0f} images/s in the last epoch."]
    if report["peers"]:
        lines += ["", "PyTorch's training step of ResNet-32, batch 128:", "", "| configuration | ms |", "|---|---|"]
        for line in sorted(report["peers"], key=lambda peer: peer.get("median_ms", float("inf"))):
            words = ", ".join(str(line[key]) for key in ("precision", "memory_format", "mode") if key in line)
            lines.append(f"| {words} | {line['median_ms']:.3f} |" if "median_ms" in line else f"| {words} | {line.get('error', 'no figure')} |")
    if report["bench"]:
        lines += ["", "Each launch of every operation; `of_copy`: its bytes a second over those of a copy on this card.", "", "| launch | type | us | GB/s | of_copy | GFLOP/s |", "|---|---|---|---|---|---|"]
        for line in report["bench"]:
            lines.append(f"| {line['name']} | {line['type']} | {line['us']:.1f} | {line.get('GB/s', 0):.0f} | {100 * line.get('of_copy', 0):.0f} % | {line.get('GFLOP/s', 0):.0f} |")
    return "\n".join(lines) + "\n"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work")
    parser.add_argument("--gpu", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--data", default="")
    options = parser.parse_args(arguments)
    report = {
        "gpu": options.gpu,
        "date": datetime.date.today().isoformat(),
        "commit": text_of("git", "rev-parse", "--short", "HEAD") or "unknown",
        "driver": text_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").split("\n")[0] or "unknown",
        "nvcc": (text_of("nvcc", "--version").splitlines() or ["nvcc unknown"])[-1],
        "data": options.data or "shapes",
        "parts": parts_of(options.work),
        "tests": tests_of(options.work),
        "bench": benches_of(options.work),
        "peers": peers_of(options.work),
        "training": training_of(options.work),
    }
    name = re.sub(r"[^a-z0-9]+", "-", options.gpu.lower()).strip("-") + "-" + report["date"]
    for suffix, text in ((".json", json.dumps(report, indent=1) + "\n"), (".md", page_of(report))):
        with open(os.path.join(options.output, name + suffix), "w", encoding="utf-8") as file:
            file.write(text)
    print(os.path.join(options.output, name + ".md"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
