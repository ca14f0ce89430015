#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that a machine can check, over every file of the tree.

    scripts/check_house.py             every rule; exit status 0 when all hold, 1 otherwise, one line a finding
    scripts/check_house.py floors ...  only the rules named; after --except, all but those
    scripts/check_house.py --list      the rules

Needs the standard library only; `format` also needs clang-format 14 (Debian 12's) and is left out, with a word, where it is missing.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# What each floor may include beside itself: the floors below it that it stands on.
BELOW = {
    "kernels": set(),
    "core": {"kernels"},
    "datasets": {"kernels", "core"},
    "layers": {"kernels", "core"},
    "losses": {"kernels", "core", "layers"},
    "models": {"kernels", "core", "layers", "losses"},
    "training": {"kernels", "core", "datasets", "layers", "losses", "models"},
    "apps": {"kernels", "core", "datasets", "layers", "losses", "models", "training"},
}
# Folders that are not part of the house: what .gitignore names, and git's own.
OUTSIDE = {".git", "build", "runs", "data", ".cache", "__pycache__"}
CPP = (".h", ".cpp", ".cu", ".cuh")
SOURCES = CPP + (".py", ".sh", ".cmake")
LONGEST_FILE = 600


class House:
    """The files of a tree: `paths` relative to `root`, sorted; read once."""

    def __init__(self, root):
        self.root, self.paths, self.texts = root, [], {}
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if name not in OUTSIDE)
            self.paths += [os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/") for name in sorted(files)]
        self.paths.sort()

    def ending_with(self, *endings):
        return [path for path in self.paths if path.endswith(tuple(endings))]

    def cpp_of_floors(self):
        return [path for path in self.ending_with(*CPP) if path.split("/")[0] in BELOW]

    def sources(self):
        return [path for path in self.paths if path.endswith(SOURCES) or os.path.basename(path) == "CMakeLists.txt" or path == ".ci/run"]

    def text(self, path):
        if path not in self.texts:
            with open(os.path.join(self.root, path), encoding="utf-8") as file:
                self.texts[path] = file.read()
        return self.texts[path]

    def lines(self, path):
        return list(enumerate(self.text(path).splitlines(), 1))

    def includes(self, path):
        """(line number, file) of every #include "file"."""
        for number, line in self.lines(path):
            match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if match:
                yield number, match.group(1)


def floors(house):
    """A floor includes only what lies below it, and includes are written from the root."""
    known = set(house.paths)
    for path in house.cpp_of_floors():
        floor = path.split("/")[0]
        for number, included in house.includes(path):
            above = included.split("/")[0]
            if included not in known:
                yield f"{path}:{number}: \"{included}\" is no file of the tree; write includes from the root"
            elif above != floor and above not in BELOW[floor]:
                yield f"{path}:{number}: {floor}/ may not include {included}; below it lie: {', '.join(sorted(BELOW[floor])) or 'nothing'}"


def cycles(house):
    """No two folders include each other, not even by way of others."""
    edges = {}  # folder -> folder it includes -> where
    for path in house.cpp_of_floors():
        folder = os.path.dirname(path)
        for number, included in house.includes(path):
            other = os.path.dirname(included)
            if other != folder:
                edges.setdefault(folder, {}).setdefault(other, f"{path}:{number}")

    def way(begin, end):
        """The folders from begin to end along includes, or nothing."""
        came_from, waiting = {begin: None}, [begin]
        while waiting:
            folder = waiting.pop(0)
            for other in sorted(edges.get(folder, {})):
                if other not in came_from:
                    came_from[other] = folder
                    waiting.append(other)
        if end not in came_from:
            return []
        result = [end]
        while came_from[result[0]] is not None:
            result.insert(0, came_from[result[0]])
        return result

    for folder in sorted(edges):
        for other in sorted(edges[folder]):
            back = way(other, folder)
            # NOTE: a circle is told once, from its first folder in alphabetical order.
            if back and folder == min(back):
                yield f"{edges[folder][other]}: folders include each other: {' -> '.join([folder] + back)}"


def licence(house):
    """The first line of every source file (the second, after #!) names the licence."""
    for path in house.sources():
        lines = [line for _, line in house.lines(path)[:2]]
        if lines and lines[0].startswith("#!"):
            lines = lines[1:]
        comment = "//" if path.endswith(CPP) else "#"
        if not lines or lines[0] != f"{comment} SPDX-License-Identifier: Apache-2.0":
            yield f"{path}:1: expected the line '{comment} SPDX-License-Identifier: Apache-2.0'"


def header_comment(house):
    """Every header says what it is before its first declaration, and is protected by #pragma once."""
    for path in house.ending_with(".h", ".cuh"):
        lines = [line for _, line in house.lines(path)]
        if len(lines) < 2 or not lines[1].startswith("//"):
            yield f"{path}:2: expected a comment that says what the file is"
        if "#pragma once" not in lines:
            yield f"{path}:1: expected #pragma once"


def length(house):
    """Files stay near or under 500 lines."""
    for path in house.sources():
        count = len(house.lines(path))
        if count > LONGEST_FILE:
            yield f"{path}:{count}: {count} lines, at most {LONGEST_FILE}; is it two rooms in one?"


def names(house):
    """No utils, helpers or managers; snake_case."""
    for path in house.sources():
        for part in path.split("/"):
            stem = part.split(".")[0]
            if re.fullmatch(r"utils?|helpers?|managers?|misc", stem) or re.search(r"_(utils?|helpers?|managers?)$", stem):
                yield f"{path}:1: {part} says nothing; name it after what it is"
            if stem != "CMakeLists" and re.search(r"[A-Z]", stem):
                yield f"{path}:1: {part} is not snake_case"


# NOTE: written in two halves, so that this file passes its own check.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
SOMEONES_PATH = re.compile(r"(?<![\w.$}/-])/(home|root|Users|work)/\w")


def finished(house):
    """Nothing is left for later in a comment, and no path of somebody's machine."""
    for path in house.sources() + house.ending_with(".md", ".txt", ".json"):
        for number, line in house.lines(path):
            if UNFINISHED.search(line):
                yield f"{path}:{number}: unfinished: {line.strip()[:80]}"
            if SOMEONES_PATH.search(line):
                yield f"{path}:{number}: a path of one machine: {line.strip()[:80]}"


def one_loop(house):
    """Parallel loops are written with kernels/common/parallel.h, which keeps results independent of the number of threads."""
    for path in house.ending_with(*CPP):
        if path == "kernels/common/parallel.h":
            continue
        for number, line in house.lines(path):
            if re.match(r"\s*#\s*pragma\s+omp\s+(parallel|for|sections|task)", line):
                yield f"{path}:{number}: use parallel_for of kernels/common/parallel.h"


def operations(house):
    """Every operation of kernels/ has its contract, checks, reference, CPU version and case."""
    folders = {path.split("/")[1] for path in house.paths if re.match(r"kernels/[^/]+/", path)} - {"common", "emulator"}
    for folder in sorted(folders):
        files = {os.path.basename(path) for path in house.paths if path.startswith(f"kernels/{folder}/")}
        for name in [f"{folder}.h", f"{folder}.cpp"]:
            if name not in files:
                yield f"kernels/{folder}:1: {name} is missing"
        for stem in ["reference", "cpu", "case"]:
            # A big operation splits a file by its parts: cpu.cpp, or cpu_forward.cpp and cpu_backward.cpp.
            if not any(re.fullmatch(rf"{stem}(_\w+)?\.cpp", name) for name in files):
                yield f"kernels/{folder}:1: {stem}.cpp is missing"


def links(house):
    """What a page links to exists."""
    for path in house.ending_with(".md"):
        for number, line in house.lines(path):
            for target in re.findall(r"\]\(([^)\s]+)\)", line) + re.findall(r'(?:src|srcset|href)="([^"]+)"', line):
                target = target.split("#")[0]
                if not target or re.match(r"[a-z]+:", target):
                    continue
                if not os.path.exists(os.path.join(house.root, os.path.dirname(path), target)):
                    yield f"{path}:{number}: {target} does not exist"


def formatter():
    """The path of clang-format 14, or nothing."""
    for tool in filter(None, map(shutil.which, ["clang-format-14", "clang-format"])):
        if "version 14." in subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout:
            return tool
    return None


def format(house):  # pylint: disable=redefined-builtin
    """clang-format 14 would change nothing."""
    tool, files = formatter(), house.ending_with(*CPP)
    if not tool:
        print("check_house: format was left out: it needs clang-format 14 (scripts/setup.sh --dev installs it on Debian 12)")
        return
    run = subprocess.run([tool, "--dry-run", *files], cwd=house.root, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        yield f".clang-format:1: {tool} failed: {run.stderr.strip()[:200]}"
    places = {}
    for path, number in re.findall(r"^([^:\n]+):(\d+):\d+: warning: code should be clang-formatted", run.stderr, re.MULTILINE):
        places.setdefault(path, []).append(number)
    for path, numbers in places.items():
        yield f"{path}:{numbers[0]}: {len(numbers)} places to format; run: clang-format -i {path}"


RULES = {rule.__name__: rule for rule in [floors, cycles, licence, header_comment, length, names, finished, one_loop, operations, links, format]}


def main(arguments):
    if arguments == ["--list"]:
        for name, rule in RULES.items():
            print(f"{name:16} {rule.__doc__}")
        return 0
    is_except = arguments[:1] == ["--except"]
    named = arguments[1:] if is_except else arguments or list(RULES)
    unknown = [name for name in named if name not in RULES]
    if unknown:
        print(f"check_house: no rule {unknown[0]}; there are: {', '.join(RULES)}", file=sys.stderr)
        return 2
    house = House(ROOT)
    findings = [f"{finding}  [{name}]" for name in RULES if (name in named) != is_except for finding in RULES[name](house)]
    print("\n".join(findings + [f"check_house: {len(house.paths)} files, {len(findings)} findings"]))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
