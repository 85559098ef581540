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

from benchmarks.bench import ECHO, FAST, HERE, OURS, PUBLISHED, Contender, measure, printTable, python, run
from interop import environments

# A method, and how many calls are in flight.
LOADS = [("sayhi", 50), ("sayhi", 1), ("find_node", 20)]

# Calls of the shorter of two runs, in which the interpreter adapts to what it runs often.
FEWER = 1000

# By which the longer one has more.  With a tenth of it, shares are wrong by a fifth.
CALLS = 2000

# How many instructions ours may take to one of rpcudp 2.1: a little more than it does.
BOUNDS = {
    OURS: [1.02, 1.04, 1.04],
    FAST: [0.745, 0.835, 0.215],
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
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = process.communicate()
    if process.returncode:
        sys.exit("{!r} is no commit of this repository: {}".format(commit, errors.decode("utf-8", "replace").strip()))
    return output.decode("ascii").strip()


def count(contender, load, calls):
    """
    @return: how many instructions a run of so many calls takes.
    @rtype: L{int}
    """
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + os.devnull, python(contender)]
    command += [os.path.join(HERE, "contenders.py"), contender.script, load[0], str(load[1]), "0", str(calls)]
    # The order of what is hashed decides how long it takes to find.
    environment = dict(environments.PROCESS_ENVIRONMENT, PYTHONHASHSEED="0")
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    errors = process.communicate()[1].decode("utf-8", "replace")
    found = re.search(r"Collected : (\d+)", errors)
    if process.returncode or found is None:
        sys.exit("{} failed:\n{}".format(" ".join(command), errors))
    return int(found.group(1))


def perCall(contenders):
    """
    @return: instructions a call, by contender and load.
    @rtype: L{dict}
    """
    keys = [(contender, load) for contender in contenders for load in LOADS]
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
    rows = [
        ["{}, {} in flight".format(*load)] + ["{:,.0f}".format(counts[name, load]) for name in names] for load in LOADS
    ]
    printTable(["instructions a call"] + names, rows)
    ours = names[2:]
    shares = {(name, load): counts[name, load] / counts[PUBLISHED, load] for name in ours for load in LOADS}
    printTable(
        ["times those of " + PUBLISHED] + ours,
        [["{}, {} in flight".format(*load)] + ["{:.3f}".format(shares[name, load]) for name in ours] for load in LOADS],
    )
    printTable(
        ["bytes"] + names[1:],
        [[text] + ["{:,.0f}".format(memory[name][text]) for name in names[1:]] for text in memory[OURS]],
    )
    above = [
        "{}: {}, {} in flight, takes {:.3f} times as many, and {} is the bound".format(name, *load + (share, bound))
        for name, bounds in BOUNDS.items()
        for load, bound, share in zip(LOADS, bounds, [shares[name, load] for load in LOADS])
        if share > bound
    ]
    sys.exit("\n".join(above) or None)


if __name__ == "__main__":
    main()
