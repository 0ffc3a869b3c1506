#!/usr/bin/env python3
"""Makes a markdown table of benchmark figures: table.py FILE.tsv... [--base kafka] [--with weir]

The columns of a file are server, section, metric, unit, run, value. Of several runs the median counts; the smallest and
the greatest stand behind it. A factor above 1 says how many times better the second server is: more where more is better
(records and bytes per second), less where less is (milliseconds, memory, descriptors, CPU).
"""

import argparse
import statistics
import sys

MORE_IS_BETTER = {"rec/s", "MB/s", "MiB/s"}
NEITHER = {"data-before-restart", "paced5000-rate"}  # what was done, not how well


def show(x):
    if x >= 1000:
        return f"{x:,.0f}"
    return f"{x:.3g}"


def cell(values):
    if not values:
        return "–"
    text = show(statistics.median(values))
    if len(values) > 1 and min(values) != max(values):
        text += f" ({show(min(values))}–{show(max(values))})"
    return text


def factor(metric, unit, base, ours):
    if metric in NEITHER or not base or not ours:
        return ""
    a, b = statistics.median(base), statistics.median(ours)
    if unit not in MORE_IS_BETTER:
        a, b = b, a
    if a == 0:
        return "∞" if b else "1.00×"
    return f"{b / a:.2f}×"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--base", default="kafka")
    parser.add_argument("--with", dest="other", default="weir")
    args = parser.parse_args()
    figures, order = {}, []
    for name in args.files:
        with open(name, encoding="utf-8") as f:
            for line in f:
                server, section, metric, unit, _, value = (line.rstrip("\n").split("\t") + [""] * 6)[:6]
                if server == "server" or not value or value == "-":
                    continue
                key = (section, metric, unit)
                if key not in figures:
                    figures[key] = {}
                    order.append(key)
                figures[key].setdefault(server, []).append(float(value))
    if not order:
        sys.exit("no figures")
    print(f"| section | what | unit | {args.base} | {args.other} | {args.other} is better by |")
    print("|---|---|---|---|---|---|")
    for key in order:
        section, metric, unit = key
        base, ours = figures[key].get(args.base, []), figures[key].get(args.other, [])
        print(f"| {section} | {metric} | {unit} | {cell(base)} | {cell(ours)} | {factor(metric, unit, base, ours)} |")


main()
