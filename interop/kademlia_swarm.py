"""
A swarm of a Twisted Kademlia: C{kademlia_swarm.py PACKAGE}.

Sets and gets keys; prints as JSON how many were found, and the port of a node; waits for the key that
L{asyncio_kademlia} stores, and prints that.
"""

from __future__ import print_function

import importlib
import json
import random
import sys

from swarm import NODES, find
from twisted.internet import defer, reactor, task

network = importlib.import_module(sys.argv[1] + ".network")

# Where a bucket is full, storjkademlia 0.7.4 fails on Python 3, and calls without an end on Python 2 (see
# docs/protocol.md), so there is room for all.
OPTIONS = {"ksize": 2 * NODES}


def listen(server):
    """
    @return: the port that C{server} has taken.
    """
    # These versions say neither which port they were given by the operating system nor on which interface they listen.
    port = reactor.listenUDP(0, server.protocol, interface="127.0.0.1")
    return port.getHost().port


@defer.inlineCallbacks
def main():
    servers = [network.Server(**OPTIONS) for _ in range(NODES)]
    ports = [listen(server) for server in servers]
    found = yield find(servers, ("127.0.0.1", ports[0]), random)
    yield servers[1].set("from Twisted", u"hello")
    print(json.dumps({"found": found, "port": ports[0]}))
    sys.stdout.flush()
    answer = None
    while answer is None:
        yield task.deferLater(reactor, 0.1, lambda: None)
        answer = yield servers[2].get("from asyncio")
    print(answer)
    sys.stdout.flush()


if __name__ == "__main__":
    main().addErrback(lambda failure: (failure.printTraceback(), reactor.stop()))
    reactor.run()
