#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every operation's parity and gradient check, as one table, from the results of the kernels' tests.

    build/ci/tests/test_kernels --gtest_filter='Parity.*:Gradient.*:Threads.*:Cuda_*' --gtest_output=json:build/parity.json
    scripts/parity_table.py build/parity.json

Prints Markdown, a row an operation: over how many problems, and the largest error seen beside the one allowed; where the card's tests ran, a table for
them, and one for the operations that have a choice of products of f32. Exit status 1 when a test failed or was skipped, or an operation was not compared at all.
"""
import argparse
import json
import sys

HEADER = """\
| operation | problems | cpu against the definition, f32 | allowed | gradient against differences, f64 | allowed | bits of 1, 2, 3 threads |
|---|---|---|---|---|---|---|"""

CARD_HEADER = """
| operation | problems | card against the definition, f32 | allowed | bf16 | allowed |
|---|---|---|---|---|---|"""
CARD_SUITES = ("Cuda_f32", "Cuda_bf16")

PRODUCTS_HEADER = """
| operation | problems | card, f32 by 3xtf32 | allowed | by tf32 | allowed | plain | allowed |
|---|---|---|---|---|---|---|---|"""
PRODUCTS_SUITES = ("Cuda_f32", "Cuda_tf32", "Cuda_plain")


def rows_of(results):
    """operation -> {suite: [(error, allowed, passed), ...]}"""
    rows = {}
    for suite in results["testsuites"]:
        if suite["name"] not in ("Parity", "Gradient", "Threads", *CARD_SUITES, *PRODUCTS_SUITES):
            continue
        for test in suite["testsuite"]:
            operation = test["name"].rsplit("_", 1)[0]
            passed = test["status"] == "RUN" and test["result"] == "COMPLETED" and "failures" not in test
            entry = (float(test.get("error", "nan")), float(test.get("allowed", "nan")), passed)
            rows.setdefault(operation, {}).setdefault(suite["name"], []).append(entry)
    return rows


def cells(tests, none="no input with a gradient"):
    """The largest error and the one allowed, of Parity, Gradient or the card."""
    if not tests:
        return none, ""
    if not all(passed for _, _, passed in tests):
        return "**FAILED**", ""
    return f"{max(error for error, _, _ in tests):.1e}", f"{tests[0][1]:.0e}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", help="what --gtest_output=json:FILE wrote")
    options = parser.parse_args(arguments)
    with open(options.results, encoding="utf-8") as file:
        rows = rows_of(json.load(file))

    print(HEADER)
    wrong = [] if rows else ["no test of an operation ran"]
    for operation, suites in sorted(rows.items()):
        parity, gradient, threads = (suites.get(suite, []) for suite in ("Parity", "Gradient", "Threads"))
        same_bits = "same" if threads and all(passed for _, _, passed in threads) else "**FAILED**"
        print(f"| {operation} | {len(parity)} | {' | '.join(cells(parity))} | {' | '.join(cells(gradient))} | {same_bits} |")
        if not all(passed for suite in suites.values() for _, _, passed in suite):
            wrong.append(f"{operation}: a test failed or did not run")
        if not parity or len(threads) != len(parity):
            wrong.append(f"{operation}: {len(parity)} problems compared, {len(threads)} of them with several threads")
    if any(suite in suites for suites in rows.values() for suite in CARD_SUITES):
        print(CARD_HEADER)
        for operation, suites in sorted(rows.items()):
            f32, bf16 = (suites.get(suite, []) for suite in CARD_SUITES)
            print(f"| {operation} | {len(f32)} | {' | '.join(cells(f32, 'none'))} | {' | '.join(cells(bf16, 'none'))} |")
            if len(f32) != len(suites.get("Parity", [])) or len(bf16) != len(f32):
                wrong.append(f"{operation}: not every problem was compared on the card")
    with_products = [(operation, suites) for operation, suites in sorted(rows.items()) if any(suite in suites for suite in PRODUCTS_SUITES[1:])]
    if with_products:
        print(PRODUCTS_HEADER)
        for operation, suites in with_products:
            found = [suites.get(suite, []) for suite in PRODUCTS_SUITES]
            print(f"| {operation} | {len(found[0])} | {' | '.join(' | '.join(cells(tests, 'none')) for tests in found)} |")
            if len({len(tests) for tests in found}) != 1:
                wrong.append(f"{operation}: not every problem was compared with every product of f32")
    for line in wrong:
        print(f"parity: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
