"""
Nodes of examples/kademlia.py: C{example_swarm.py COUNT} makes a network of them, C{example_swarm.py COUNT PORT} has
them join the one there.

Sets keys; prints as JSON the port of a node, and by how many nodes each value is stored at least; waits for a line;
gets the keys of the other program through every node here, and prints how many values were right.
"""

from __future__ import print_function

import json
import os
import sys

from twisted.internet import defer, reactor, threads

from values import ATOMS, named, pack, unpack

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "examples"))
Node = __import__("kademlia").Node


@defer.inlineCallbacks
def main(count, port=None):
    own, others = (u"network", u"joiner") if port is None else (u"joiner", u"network")
    nodes = [Node() for _ in range(count)]
    for node in nodes:
        here = reactor.listenUDP(0, node, interface="127.0.0.1").getHost()
        if port is not None:
            yield node.join([("127.0.0.1", port)])
        port = port or here.port

    copies = []
    for number, (name, payload) in enumerate(ATOMS):
        copies.append((yield nodes[number % count].set(named(own, name), unpack(payload))))
    print(json.dumps({"port": port, "copies": min(copies)}))
    sys.stdout.flush()

    yield threads.deferToThread(sys.stdin.readline)
    found = 0
    for name, payload in ATOMS:
        for node in nodes:
            # What it stores itself, too, is to come from another.
            stored, node.stored = node.stored, {}
            found += pack((yield node.get(named(others, name)))) == payload
            node.stored = stored
    print(found)
    sys.stdout.flush()


if __name__ == "__main__":
    reactor.callWhenRunning(
        lambda: main(*map(int, sys.argv[1:])).addErrback(lambda failure: (failure.printTraceback(), reactor.stop()))
    )
    reactor.run()
