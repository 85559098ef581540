"""
Instructions a call, and bytes: C{python -m benchmarks.instructions [COMMIT ...]}, on CPython 3.11.

Valgrind's callgrind counts what a processor would execute outside of the system, and counts nearly the same twice,
whatever else the machine does: two runs differ by less than a hundredth.  What is printed is the difference between
two runs of one contender, with more calls and with fewer, so that what begins and ends them is not in it.

Each commit is measured beside the work as it stands.  The exit status is 1 where the latter takes a larger share of
what rpcudp 2.1 takes than L{BOUNDS} has: this is the one figure of speed that decides anything.
"""

from __future__ import print_function

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import cpu_count

from benchmarks.bench import ECHO, FAST, HERE, OURS, PUBLISHED, Contender, execute, measure, printTable, python, run
from interop import environments

# A method, and how many calls are in flight.
LOADS = [("sayhi", 50), ("sayhi", 1), ("find_node", 20)]
TEXT = "{}, {} in flight"

# Calls of the shorter of two runs, in which the interpreter adapts to what it runs often.
FEWER = 1000

# By which the longer one has more.  With a tenth of it, shares are wrong by a fifth.
CALLS = 2000

# How many instructions ours may take to one of rpcudp 2.1: a little more than it does.
BOUNDS = {
    OURS: [0.86, 0.915, 1.005],
    FAST: [0.72, 0.815, 0.21],
}


def contenders(commits):
    found = [Contender(ECHO, "echo", [environments.ours()]), Contender(PUBLISHED, "rpcudp", ["rpcudp==2.1"])]
    for commit in [None] + commits:
        wheel = environments.ours(commit and resolve(commit))
        at = "" if commit is None else " at " + commit
        found += [Contender(OURS + at, "rpcudp", [wheel]), Contender(FAST + at, "rpcudp", [wheel + "[fast]"])]
    return found


def resolve(commit):
    """
    @return: the hash of what this repository calls C{commit}.
    """
    command = ["git", "-C", environments.ROOT, "rev-parse", "--verify", commit + "^{commit}"]
    try:
        return subprocess.check_output(command, stderr=subprocess.STDOUT).decode("ascii").strip()
    except subprocess.CalledProcessError as error:
        text = error.output.decode("utf-8", "replace").strip()
        sys.exit("{!r} is no commit of this repository: {}".format(commit, text))


def count(contender, load, calls):
    """
    @return: how many instructions a run of so many calls takes.
    @rtype: L{int}
    """
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + os.devnull, python(contender)]
    command += [os.path.join(HERE, "contenders.py"), contender.script, load[0], str(load[1]), "0", str(calls)]
    # The order of what is hashed decides how long it takes to find.
    _, errors = execute(command, dict(environments.PROCESS_ENVIRONMENT, PYTHONHASHSEED="0"))
    return int(re.search(r"Collected : (\d+)", errors).group(1))


def perCall(runners):
    """
    @return: instructions a call, by contender and load.
    @rtype: L{dict}
    """
    keys = [(contender, load) for contender in runners for load in LOADS]
    with ThreadPoolExecutor(cpu_count()) as executor:
        long = [executor.submit(count, contender, load, FEWER + CALLS) for contender, load in keys]
        short = [executor.submit(count, contender, load, FEWER) for contender, load in keys]
        return {
            (contender.name, load): (more.result() - fewer.result()) / float(CALLS)
            for (contender, load), more, fewer in zip(keys, long, short)
        }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("commits", nargs="*", metavar="COMMIT", help="of this repository, to be measured too")
    options = parser.parse_args()
    try:
        subprocess.check_output(["valgrind", "--version"])
    except OSError:
        sys.exit("There is no valgrind here to count with; Debian has it in the package of that name.")

    runners = contenders(options.commits)
    for contender in runners:
        # What it imports is compiled now.
        measure(contender, LOADS[0], 0, 1)
    counts = perCall(runners)
    memory = {contender.name: run(python(contender), "memory.py") for contender in runners if contender.name != ECHO}

    names = [contender.name for contender in runners]
    ours = names[2:]
    shares = {(name, load): counts[name, load] / counts[PUBLISHED, load] for name in ours for load in LOADS}
    for head, columns, figures, form in [
        ("instructions a call", names, counts, "{:,.0f}"),
        ("times those of " + PUBLISHED, ours, shares, "{:.3f}"),
    ]:
        rows = [[TEXT.format(*load)] + [form.format(figures[name, load]) for name in columns] for load in LOADS]
        printTable([head] + columns, rows)
    printTable(
        ["bytes"] + names[1:],
        [[text] + ["{:,.0f}".format(memory[name][text]) for name in names[1:]] for text in memory[OURS]],
    )
    above = [
        "{}: {}, takes {:.3f} times as many, and {} is the bound".format(
            name, TEXT.format(*load), shares[name, load], bound
        )
        for name, bounds in BOUNDS.items()
        for load, bound in zip(LOADS, bounds)
        if shares[name, load] > bound
    ]
    sys.exit("\n".join(above) or None)


if __name__ == "__main__":
    main()
