"""
How long lookups of examples/kademlia.py take, by how long their calls wait, where some of the nodes are gone: C{python
-m benchmarks.waits [--nodes N ...] [--seeds N] [--lookups N] [--picture FILE]}.

The network is that of L{benchmarks.swarm}: datagrams take 10 to 100 ms by distance, and one in twenty is lost.  All
nodes join; then some crash, and others, one after another, look for the K nodes that are closest to a random key.  What
they know of the dead is from before, and so is what their waits have learnt of the living.
"""

from __future__ import print_function

import argparse
import gc
import sys
from collections import OrderedDict

from benchmarks.bench import plotter, printTable, savePicture
from benchmarks.swarm import Swarm, kademlia
from rpcudp.roundtrip import RoundTripWaits

SHARES = [0, 0.1, 1 / 3.0]
NAMES = ["none", "a tenth", "a third"]

# Virtual seconds between two lookups: no call of the one is in flight when the next begins.
PAUSE = 20


class PatientNode(kademlia.Node):
    """
    A node whose lookups do not go on before a call has ended.
    """

    def watch(self, contact, outcome, told):
        outcome.addCallback(told, contact)


CONTENDERS = OrderedDict(
    [
        ("5", lambda chance: PatientNode(chance, 5)),
        ("(0.5, 1, 2)", lambda chance: PatientNode(chance, (0.5, 1, 2))),
        ("RoundTripWaits", lambda chance: PatientNode(chance, RoundTripWaits())),
        ("RoundTripWaits, widening", lambda chance: kademlia.Node(chance, RoundTripWaits())),
    ]
)


class Lookups(object):
    """
    What came of some lookups.

    @ivar seconds: how long each took, in virtual time.
    @ivar found: of the K closest nodes that live, the share that each found.
    @ivar datagrams: that each took, answers included.
    """

    def __init__(self):
        self.seconds = []
        self.found = []
        self.datagrams = []

    def run(self, newNode, count, share, seed, lookups):
        swarm = Swarm(seed, newNode)
        swarm.grow(count)
        network, chance = swarm.network, swarm.chance
        chance.shuffle(swarm.nodes)
        dead = int(round(count * share))
        for node in swarm.nodes[:dead]:
            node.transport.reactor.crash()
        living = swarm.nodes[dead:]
        for _ in range(lookups):
            node, key = chance.choice(living), chance.getrandbits(160)
            sent, began = network.counts.sent, network.seconds()
            contacts = network.run(kademlia.Lookup(node, key).result)
            self.seconds.append(network.seconds() - began)
            others = [other.id for other in living if other is not node]
            closest = sorted(others, key=lambda other: other ^ key)[: kademlia.K]
            self.found.append(len(set(closest).intersection(contact.id for contact in contacts)) / float(len(closest)))
            # What its end has left under way is its own as well.
            network.advance(PAUSE)
            self.datagrams.append(network.counts.sent - sent)


def quantile(values, share):
    return sorted(values)[int(share * (len(values) - 1))]


def mean(values):
    return sum(values) / float(len(values))


def draw(results, counts, path):
    """
    @param results: the L{Lookups} by nodes, contender and share of the dead.
    """
    pyplot = plotter()
    figure, axes = pyplot.subplots(1, len(counts), figsize=(5 * len(counts), 3.4), squeeze=False)
    colours = ["#b8c4cc", "#7f9bab", "#33658a", "#e07a1f"]
    for axis, count in zip(axes[0], counts):
        for number, (name, colour) in enumerate(zip(CONTENDERS, colours)):
            medians = [quantile(results[count, name, share].seconds, 0.5) for share in SHARES]
            places = [place + 0.2 * number for place in range(len(SHARES))]
            axis.bar(places, medians, 0.18, color=colour, label=name)
            for place, median in zip(places, medians):
                axis.annotate("{:.1f}".format(median), (place, median), ha="center", va="bottom", fontsize=7)
        axis.set_xticks([place + 0.3 for place in range(len(SHARES))])
        axis.set_xticklabels(NAMES)
        axis.set_title("{:,} nodes".format(count), fontsize=10)
        axis.set_xlabel("dead")
        axis.set_ylabel("seconds, median lookup")
        axis.legend(frameon=False, fontsize=8)
    savePicture(figure, path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", nargs="+", type=int, default=[300, 1000])
    parser.add_argument("--seeds", type=int, default=5, help="networks of each kind")
    parser.add_argument("--lookups", type=int, default=100, help="in each of them")
    parser.add_argument("--picture", help="file for a picture of the medians")
    options = parser.parse_args()
    # See benchmarks.growth.
    gc.disable()
    # Nor do nodes look for each other by themselves meanwhile.
    kademlia.REFRESH = 1e9
    results = {}
    for count in options.nodes:
        for name, newNode in CONTENDERS.items():
            for share in SHARES:
                print("{} nodes, {}, {:.0%} dead".format(count, name, share), file=sys.stderr)
                lookups = results[count, name, share] = Lookups()
                for seed in range(1, options.seeds + 1):
                    lookups.run(newNode, count, share, seed, options.lookups)
                    gc.collect()
    rows = []
    for count in options.nodes:
        for share, dead in zip(SHARES, NAMES):
            for name in CONTENDERS:
                lookups = results[count, name, share]
                seconds = [quantile(lookups.seconds, 0.5), quantile(lookups.seconds, 0.9)]
                row = [count, dead, name] + ["{:.2f}".format(value) for value in seconds]
                rows.append(row + ["{:.1%}".format(mean(lookups.found)), "{:.1f}".format(mean(lookups.datagrams))])
    printTable(["nodes", "dead", "waitTimeout", "median, s", "90 %, s", "found", "datagrams"], rows)
    if options.picture:
        draw(results, options.nodes, options.picture)


if __name__ == "__main__":
    main()
