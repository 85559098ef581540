"""
All contenders in one run: C{python -m benchmarks.bench [--seconds S] [--rounds N] [--picture FILE]}.

They take turns, so that what disturbs the machine disturbs all of them alike, and the median of their rounds counts.
Figures are of this machine; ratios are what can be compared.
"""

from __future__ import print_function

import argparse
import json
import os
import subprocess
import sys
from collections import namedtuple
from statistics import median

from interop import environments

HERE = os.path.dirname(os.path.abspath(__file__))

Contender = namedtuple("Contender", ["name", "script", "packages"])

OURS = "this library"
FAST = "this library [fast]"
FORGETFUL = ", no duplicate request cache"
SIMULATED = ", on a simulated network"
ROUNDTRIP = ", waits of RoundTripWaits"
PUBLISHED = "rpcudp 2.1"
ECHO = "bare UDP echo"

# The loads: a method, and how many calls are in flight.
LOADS = [("sayhi", 1), ("sayhi", 50), ("find_node", 1), ("find_node", 20)]

# One at which the answers overflow the receive buffer that Linux gives by default.
HEAVY_LOAD = ("find_node", 100)


def contenders():
    wheel = environments.ours()
    return [
        Contender(ECHO, "echo", [wheel]),
        Contender(FAST, "rpcudp", [wheel + "[fast]"]),
        Contender(FAST + FORGETFUL, "forgetful", [wheel + "[fast]"]),
        Contender(FAST + SIMULATED, "simulated", [wheel + "[fast]"]),
        Contender(FAST + ROUNDTRIP, "roundtrip", [wheel + "[fast]"]),
        Contender(OURS, "rpcudp", [wheel]),
        Contender(OURS + FORGETFUL, "forgetful", [wheel]),
        Contender(OURS + SIMULATED, "simulated", [wheel]),
        Contender(OURS + ROUNDTRIP, "roundtrip", [wheel]),
        Contender(PUBLISHED, "rpcudp", ["rpcudp==2.1"]),
        Contender("rpcudp 5.0.1, asyncio", "asyncio", ["rpcudp==5.0.1"]),
        Contender("rpcudp 5.0.1, uvloop", "uvloop", ["rpcudp==5.0.1", "uvloop"]),
        Contender("Twisted AMP, TCP", "amp", [wheel]),
    ]


def python(contender):
    version = "{}.{}".format(*sys.version_info)
    return environments.python(version, contender.packages)


def execute(command, environment=environments.PROCESS_ENVIRONMENT):
    """
    @return: what it writes to standard output, and to standard error.

    @raise SystemExit: if it fails, with the latter.
    """
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = [text.decode("utf-8", "replace") for text in process.communicate()]
    if process.returncode:
        sys.exit("{} failed:\n{}".format(" ".join(command), errors))
    return output, errors


def run(interpreter, script, *arguments):
    """
    @return: what a script of this folder prints, as JSON.
    """
    output, _ = execute([interpreter, os.path.join(HERE, script)] + [str(argument) for argument in arguments])
    return json.loads(output)


def race(runners, rounds, seconds):
    """
    @return: the median of the calls a second, and all the calls lost, by contender and load.
    """
    results = {}
    for number in range(rounds):
        print("round {} of {}".format(number + 1, rounds), file=sys.stderr)
        for load in LOADS:
            for contender in runners:
                results.setdefault((contender.name,) + load, []).append(measure(contender, load, seconds, 0))
    return {
        key: (median([result["rate"] for result in found]), sum(result["lost"] for result in found))
        for key, found in results.items()
    }


def measure(contender, load, seconds, calls):
    method, inFlight = load
    return run(python(contender), "contenders.py", contender.script, method, inFlight, seconds, calls)


def printTable(head, rows):
    print()
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def plotter():
    """
    @return: C{matplotlib.pyplot}, for pictures in files.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def savePicture(figure, path, hidden=("top", "right")):
    """
    @param hidden: the sides of each of its diagrams that have no line.
    """
    for axis in figure.axes:
        for side in hidden:
            axis.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def usable(runners):
    """
    @return: the contenders that are compared with others.
    """
    others = ("echo", "forgetful", "simulated", "roundtrip")
    return [contender for contender in runners if contender.script not in others]


def report(runners, results):
    names = [contender.name for contender in runners]
    heads = ["{}, {} in flight".format(*load) for load in LOADS]
    printTable(
        ["calls a second, calls lost"] + heads,
        [[name] + ["{:,.0f}, {}".format(*results[(name,) + load]) for load in LOADS] for name in names],
    )

    def ratios(name, base):
        return [name] + ["{:.2f}".format(results[(name,) + load][0] / results[(base,) + load][0]) for load in LOADS]

    for base in (PUBLISHED, ECHO, "rpcudp 5.0.1, uvloop"):
        printTable(["times " + base] + heads, [ratios(name, base) for name in (FAST, OURS)])
    printTable(["times itself" + FORGETFUL] + heads, [ratios(name, name + FORGETFUL) for name in (FAST, OURS)])
    printTable(["times itself over loopback"] + heads, [ratios(name + SIMULATED, name) for name in (FAST, OURS)])
    printTable(["times itself with one wait"] + heads, [ratios(name + ROUNDTRIP, name) for name in (FAST, OURS)])


def draw(runners, results, path):
    """
    A picture of the loads with more than one call in flight.
    """
    pyplot = plotter()
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.2), sharey=True)
    names = [contender.name for contender in usable(runners)][::-1]
    for axis, load in zip(axes, [load for load in LOADS if load[1] > 1]):
        rates = [results[(name,) + load][0] for name in names]
        bars = axis.barh(names, rates, color=["#33658a" if name in (OURS, FAST) else "#b8c4cc" for name in names])
        axis.bar_label(bars, ["{:,.0f}".format(rate) for rate in rates], padding=3)
        axis.set_title("{}, {} calls in flight: calls a second".format(*load))
        axis.set_xlim(0, max(rates) * 1.2)
        axis.set_xticks([])
    savePicture(figure, path, ["top", "right", "bottom"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.0, help="that each of the runs takes")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts")
    parser.add_argument("--count", type=int, default=20000, help="of calls, for what they cost")
    parser.add_argument("--picture", help="file for a picture of the calls a second")
    options = parser.parse_args()

    runners = contenders()
    results = race(runners, options.rounds, options.seconds)
    report(runners, results)

    heavy = [(contender.name, measure(contender, HEAVY_LOAD, 0, 5 * options.count)) for contender in usable(runners)]
    printTable(
        ["{:,} of {}, {} in flight".format(5 * options.count, *HEAVY_LOAD), "calls lost", "answered a second"],
        [[name, result["lost"], "{:,.0f}".format(result["rate"])] for name, result in heavy],
    )

    costs = [
        (contender.name, run(python(contender), "costs.py", options.count))
        for contender in runners
        if contender.name in (FAST, OURS)
    ]
    heads = sorted((kind, part) for kind, figures in costs[0][1].items() for part in figures)
    printTable(
        [""] + [name for name, _ in costs],
        [
            ["{}: {}".format(kind, part)] + ["{:.1f}".format(figures[kind][part]) for _, figures in costs]
            for kind, part in heads
        ],
    )
    if options.picture:
        draw(runners, results, options.picture)


if __name__ == "__main__":
    main()
