"""
Calls a second to examples/cores.py, with one worker and with more of them.

    python -m benchmarks.cores [--workers N,N,...] [--seconds S] [--rounds N]

The callers are a process of their own, which takes one of the cores in part: so C{work}, whose handler computes for
about a millisecond, says more of the workers, and C{who}, whose handler does nothing, more of the callers.
"""

from __future__ import print_function

import argparse
import multiprocessing
import os
import subprocess
import sys
import time

from twisted.internet import defer, reactor, task

from benchmarks.bench import printTable
from rpcudp.protocol import RPCProtocol
from tests.support import freePort

EXAMPLE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "examples", "cores.py")
HOST = "127.0.0.1"

# Of a hash, about a millisecond here.
ROUNDS = 2000

# The kernel shares senders among the workers, and evenly only if there are many of them.
CALLERS, IN_FLIGHT = 64, 2

LOADS = {"work": (ROUNDS,), "who": ()}


@defer.inlineCallbacks
def callOn(caller, there, method, until, answered):
    while time.time() < until:
        outcome = yield getattr(caller, method)(there, *LOADS[method])
        answered.append(outcome[0])


@defer.inlineCallbacks
def measure(port, method, seconds):
    """
    @return: a Deferred of the calls a second that were answered.
    """
    callers = [RPCProtocol() for _ in range(CALLERS)]
    ports = [reactor.listenUDP(0, caller, interface=HOST) for caller in callers]
    begin, answered = time.time(), []
    loops = [
        callOn(caller, (HOST, port), method, begin + seconds, answered) for caller in callers for _ in range(IN_FLIGHT)
    ]
    yield defer.gatherResults(loops)
    rate = sum(answered) / (time.time() - begin)
    yield defer.gatherResults([port.stopListening() for port in ports])
    defer.returnValue(rate)


@defer.inlineCallbacks
def main(_, counts, seconds, rounds):
    rates = {(count, method): [] for count in counts for method in LOADS}
    for _ in range(rounds):
        # In turns, so that all have their share of what else the machine does.
        for count in counts:
            port = freePort()
            server = subprocess.Popen([sys.executable, EXAMPLE, str(port), str(count)], stdout=subprocess.PIPE)
            try:
                if not server.stdout.readline():
                    sys.exit("{} did not start".format(EXAMPLE))
                for method in LOADS:
                    rate = yield measure(port, method, seconds)
                    rates[count, method].append(rate)
            finally:
                server.terminate()
                server.wait()
    medians = {key: sorted(values)[len(values) // 2] for key, values in rates.items()}
    rows = []
    for count in counts:
        row = [count]
        for method in LOADS:
            rate = medians[count, method]
            row += ["{:,.0f}".format(rate), "{:.2f}".format(rate / medians[counts[0], method])]
        rows.append(row)
    head = ["workers"]
    for method in LOADS:
        head += ["{}, calls a second".format(method), "relative"]
    printTable(head, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,{}".format(multiprocessing.cpu_count()), help="how many, in turn")
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    task.react(main, [[int(count) for count in options.workers.split(",")], options.seconds, options.rounds])
