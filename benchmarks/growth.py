"""
What a simulated network of so many nodes of examples/kademlia.py takes, and what their lookups take: C{python -m
benchmarks.growth [--picture FILE] [NODES ...]}.

Each network is in a process of its own, with the faults of L{benchmarks.swarm}.
"""

from __future__ import print_function

import argparse
import gc
import json
import math
import resource
import subprocess
import sys
import time

from benchmarks.bench import plotter, printTable, savePicture
from benchmarks.swarm import Swarm, kademlia

LOOKUPS = 200


class CountingLookup(kademlia.Lookup):
    """
    @ivar steps: of each node that was heard of, how many nodes were asked one after another to hear of it.
    """

    def __init__(self, *arguments):
        self.steps = {}
        self._step = 0
        kademlia.Lookup.__init__(self, *arguments)

    def goOn(self, triples):
        triples = list(triples)
        new = [triple[0] for triple in triples if triple[0] not in self.heardOf]
        self.steps.update(dict.fromkeys(new, self._step))
        kademlia.Lookup.goOn(self, triples)

    def asked(self, outcome, contact):
        self._step = self.steps[contact.triple[0]] + 1
        kademlia.Lookup.asked(self, outcome, contact)


def measure(count):
    # Nothing here that is dropped refers to itself, and to look for such among all these objects takes a third as long
    # as all the rest.
    gc.disable()
    swarm = Swarm(seed=1)
    network = swarm.network
    began = time.time()
    swarm.grow(count)
    seconds = time.time() - began
    figures = {
        "nodes": count,
        "s to join": seconds,
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
        "virtual s to join": network.seconds(),
        "datagrams a second": network.counts.sent / seconds,
        "datagrams a join": network.counts.sent / float(count),
        "contacts a node": sum(map(len, (bucket for node in swarm.nodes for bucket in node.buckets.values()))) / count,
    }
    sent, now, hops = network.counts.sent, network.seconds(), 0
    for _ in range(LOOKUPS):
        lookup = CountingLookup(swarm.chance.choice(swarm.nodes), swarm.chance.getrandbits(160))
        contacts = network.run(lookup.result)
        hops += lookup.steps[contacts[0].triple[0]] + 1
    figures["datagrams a lookup"] = (network.counts.sent - sent) / float(LOOKUPS)
    figures["hops a lookup"] = hops / float(LOOKUPS)
    figures["virtual s a lookup"] = (network.seconds() - now) / LOOKUPS
    return figures


def draw(results, path):
    pyplot = plotter()
    counts = [result["nodes"] for result in results]
    figure, axes = pyplot.subplots(1, 3, figsize=(10, 3.2))
    for axis, name in zip(axes, ["hops a lookup", "datagrams a lookup", "virtual s a lookup"]):
        values = [result[name] for result in results]
        axis.plot(counts, values, "o-", color="#33658a", label=name)
        # What grows with the logarithm of n is in proportion to this.
        scale = values[0] / math.log(counts[0], 2)
        line = [scale * math.log(count, 2) for count in counts]
        axis.plot(counts, line, "--", color="#b8c4cc", label="in proportion to log n")
        axis.set_xscale("log")
        axis.set_ylim(0, 1.2 * max(values + line))
        axis.set_xlabel("nodes")
        axis.legend(frameon=False, loc="lower right")
    savePicture(figure, path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("nodes", nargs="*", type=int, default=[1000, 10000, 100000])
    parser.add_argument("--picture", help="file for a picture of what lookups take")
    parser.add_argument("--one", action="store_true", help="in this process, as JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.nodes[0])))
        return
    results = []
    for count in options.nodes:
        print("{} nodes".format(count), file=sys.stderr)
        command = [sys.executable, "-m", "benchmarks.growth", "--one", str(count)]
        results.append(json.loads(subprocess.check_output(command).decode("ascii")))
    names = ["s to join", "MiB", "datagrams a second", "datagrams a join", "virtual s to join", "contacts a node"]
    names += ["datagrams a lookup", "hops a lookup", "virtual s a lookup"]
    printTable(
        [""] + ["{:,} nodes".format(result["nodes"]) for result in results],
        [[name] + ["{:,.2f}".format(result[name]) for result in results] for name in names],
    )
    if options.picture:
        draw(results, options.picture)


if __name__ == "__main__":
    main()
