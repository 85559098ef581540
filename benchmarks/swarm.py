"""
A thousand nodes of examples/kademlia.py on a simulated network, and what becomes of what they store: C{python -m
benchmarks.swarm [NODES] [--seed N]}.

They join, set values and get them.  Then half of them is cut off from the other half for a minute, and a third crashes.
Ends with exit code 0 if all have joined, enough was found each time, and every fault did happen.
"""

from __future__ import print_function

import argparse
import math
import os
import random
import sys
import time

from twisted.internet.defer import DeferredList

from rpcudp.testing import SimulatedNetwork

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "examples"))

import kademlia  # noqa: E402, where that is was said just before

# Seconds: one way, to the nearest and to the farthest.
NEAREST, FARTHEST = 0.01, 0.1

LOSS = 0.05
SCHEDULE = (0.3, 0.6, 1.2)
PORT = 8468

# Nodes that join at one time, once there are as many, and calls of the application at one time.
AT_ONCE = 200

VALUES = 200


def newNode(chance):
    # A copy of a request comes no later than that, and what is remembered takes memory.
    return kademlia.Node(chance, SCHEDULE, duplicateLifetime=10)


class Swarm(object):
    """
    @ivar chance: a generator of random numbers.
    @ivar network: the L{SimulatedNetwork}.
    @ivar nodes: the nodes, in the order in which they have joined, each on a host of its own.
    """

    def __init__(self, seed, newNode=newNode):
        """
        @param newNode: returns another node, of a generator of random numbers.
        """
        self._newNode = newNode
        self.chance = random.Random(seed)
        self.network = SimulatedNetwork(seed, latency=self.latency, loss=LOSS)
        self.nodes = []
        self._places = {}

    def latency(self, source, destination):
        """
        Hosts are on a square, at random, and a datagram takes as long as they are far apart.
        """
        (x, y), (u, v) = self._places[source], self._places[destination]
        return NEAREST + (FARTHEST - NEAREST) * math.hypot(x - u, y - v) / math.sqrt(2)

    def grow(self, count):
        """
        Have nodes join until there are so many.  As many as there are join at one time, but no more than C{AT_ONCE}.
        """
        while len(self.nodes) < count:
            known = self.chance.sample(self.nodes, min(len(self.nodes), 3 * AT_ONCE))
            known = [(address(node), PORT) for node in known]
            joining = [self._start() for _ in range(min(AT_ONCE, len(self.nodes) or 1, count - len(self.nodes)))]
            self.wait(node.join(self.chance.sample(known, min(3, len(known)))) for node in joining)
            self.nodes += joining

    def _start(self):
        number = len(self._places)
        host = self.network.host("10.{}.{}.{}".format(number >> 16, number >> 8 & 255, number & 255))
        self._places[host.address] = self.chance.random(), self.chance.random()
        node = self._newNode(self.chance)
        host.listenUDP(PORT, node)
        return node

    def wait(self, deferreds):
        """
        @return: the results.
        """
        return [result for _, result in self.network.run(DeferredList(list(deferreds), fireOnOneErrback=True))]

    def set(self, values):
        """
        @type values: L{dict} of texts by name
        """
        for names in batches(sorted(values)):
            self.wait(self.chance.choice(self.nodes).set(name, values[name]) for name in names)

    def found(self, values):
        """
        @return: the share of C{values} that nodes which do not store them find, where there are such.
        """
        correct = 0
        for names in batches(sorted(values)):
            results = self.wait(self._stranger(name).get(name) for name in names)
            correct += sum(result == values[name] for name, result in zip(names, results))
        return float(correct) / len(values)

    def _stranger(self, name):
        key = kademlia.hashOf(name)
        return self.chance.choice([node for node in self.nodes if key not in node.stored] or self.nodes)


def address(node):
    return node.transport.reactor.address


def batches(names):
    return [names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE)]


def main(count, seed):
    began = time.time()
    wrong = []

    def report(what, value, isRight=True):
        print("{}: {}".format(what, value))
        if not isRight:
            wrong.append(what)

    swarm = Swarm(seed)
    network = swarm.network
    swarm.grow(count)
    joined = sum(any(node.buckets.values()) for node in swarm.nodes)
    report("nodes that have joined", joined, joined == count)
    values = {u"key {}".format(number): u"value {}".format(number) for number in range(VALUES)}
    swarm.set(values)
    share = swarm.found(values)
    report("found", share, share >= 0.995)

    nodes = swarm.nodes
    swarm.chance.shuffle(nodes)
    with network.partition([address(node) for node in nodes[::2]]):
        end = network.seconds() + 60
        report("found while halves are cut off from each other", swarm.found(values))
        network.advance(max(0, end - network.seconds()))
    share = swarm.found(values)
    report("found after that", share, share >= 0.995)

    for node in nodes[::3]:
        node.transport.reactor.crash()
    swarm.nodes = [node for number, node in enumerate(nodes) if number % 3]
    share = swarm.found(values)
    report("found after a third has crashed", share, share >= 0.99)

    counts = network.counts
    report("datagrams", counts, counts.lost and counts.partitioned and counts.unheard)
    report("virtual seconds", network.seconds())
    report("seconds", time.time() - began)
    if wrong:
        raise SystemExit("not as it should be with seed {}: {}".format(seed, ", ".join(wrong)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("nodes", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    main(options.nodes, options.seed)
