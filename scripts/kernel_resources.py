#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the compiler gave each kernel: registers, spills, shared memory; from the reports that a build with nvcc keeps beside its objects.

    scripts/kernel_resources.py build/ci             a table; exit status 1 when a kernel spills registers or needs a stack
    scripts/kernel_resources.py build/ci --markdown  the same as Markdown

A spill is a register that did not fit and lives in memory: in a kernel that runs every step none is acceptable. Shared memory is what the
kernel declares; what a launch asks for beside (dynamic) is not known to the compiler.
"""
import argparse
import glob
import os
import re
import subprocess
import sys

ENTRY = re.compile(r"ptxas info\s*: Compiling entry function '(\S+)' for '(\S+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"ptxas info\s*: Used (\d+) registers(.*)")
SHARED = re.compile(r"(\d+) bytes smem")


def kernels_of(text):
    """A dictionary a kernel and architecture, in the order of the report."""
    kernels = []
    for line in text.splitlines():
        if match := ENTRY.search(line):
            kernels.append({"name": match[1], "architecture": match[2], "stack": 0, "spills": 0, "registers": None, "shared": 0})
        elif match := STACK.search(line):
            # NOTE: device functions that were not inlined have such a line too; they count for the kernel they come with.
            if kernels:
                kernels[-1]["stack"] += int(match[1])
                kernels[-1]["spills"] += int(match[2]) + int(match[3])
        elif (match := USED.search(line)) and kernels:
            kernels[-1]["registers"] = int(match[1])
            if shared := SHARED.search(match[2]):
                kernels[-1]["shared"] = int(shared[1])
    return kernels


def readable(names):
    """Mangled names as one would write them, without the parameters and the namespaces."""
    shown = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout.splitlines()
    for name in shown:
        name = name.replace("(anonymous namespace)::", "").replace("isda::kernels::", "").replace("isda::", "")
        name = re.sub(r"^void ", "", name)
        # The parameters: from the parenthesis that closes last.
        depth, cut = 0, len(name)
        for position in range(len(name) - 1, -1, -1):
            depth += {")": 1, "(": -1}.get(name[position], 0)
            if depth == 0:
                cut = position
                break
        yield re.sub(r"\(bool\)([01])", lambda match: "true" if match[1] == "1" else "false", name[:cut]) or name


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="the build folder, e.g. build/ci")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(arguments)
    kernels = []
    for path in sorted(glob.glob(os.path.join(options.build, "**", "*.ptxas"), recursive=True)):
        with open(path, encoding="utf-8") as file:
            found = kernels_of(file.read())
        source = re.sub(r".*\.dir/|\.o\.ptxas$", "", path)
        kernels += [{**kernel, "file": source} for kernel in found]
    if not kernels:
        print(f"kernel_resources: no report under {options.build}; was it built with nvcc?", file=sys.stderr)
        return 1
    for kernel, name in zip(kernels, readable([kernel["name"] for kernel in kernels])):
        kernel["name"] = name

    if options.markdown:
        print("| kernel | file | for | registers | spilled bytes | stack | shared memory |\n|---|---|---|---|---|---|---|")
        row = "| `{name}` | `{file}` | {architecture} | {registers} | {spills} | {stack} | {shared} |"
    else:
        row = "{architecture:8} {registers:>4} registers {spills:>5} spilled {stack:>5} stack {shared:>6} shared   {file}: {name}"
    wrong = []
    for kernel in kernels:
        print(row.format(**{**kernel, "registers": kernel["registers"] or "?"}))
        if kernel["spills"] or kernel["stack"] or not kernel["registers"]:
            wrong.append(f"{kernel['file']}: {kernel['name']} for {kernel['architecture']}: {kernel['spills']} bytes spilled, {kernel['stack']} bytes of stack")
    print(f"kernel_resources: {len(kernels)} kernels, {len(wrong)} with spills or a stack", file=sys.stderr)
    for line in wrong:
        print(f"kernel_resources: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
