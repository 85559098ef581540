"""
A swarm of a Twisted Kademlia on a simulated network: C{simulated_swarm.py PACKAGE}.

All nodes are on one host, as the package knows one reactor, and are told apart by their ports.  Sets and gets keys in
virtual time; prints as JSON how many were found, what became of all datagrams, how many of them were sent after the
last key, and how many virtual seconds it all took.

The package draws its node ids from C{random}, which is seeded here.  It asks C{time.time()} for the age of keys and
buckets, which stays the real one; within the second that this takes, no key is an hour old.
"""

from __future__ import print_function

import importlib
import json
import random
import sys

from swarm import NODES, find

from rpcudp.testing import SimulatedNetwork

# With many another seed, there is a key over which calls never end (see docs/protocol.md).
SEED = 1

# storjkademlia 0.7.4 fails where it has to evict a contact from a full bucket on Python 3, so there is room for all.
OPTIONS = {"ksize": 2 * NODES} if sys.version_info >= (3,) else {}


def main():
    random.seed(SEED)
    network = SimulatedNetwork(SEED)
    host = network.host("192.0.2.1")
    with host.asReactor():
        package = importlib.import_module(sys.argv[1] + ".network")
        servers = [package.Server(**OPTIONS) for _ in range(NODES)]
        ports = [host.listenUDP(0, server.protocol) for server in servers]
        address = host.address, ports[0].getHost().port
        found = network.run(find(servers, address, random.Random(SEED)))
        seconds, sent = network.seconds(), network.counts.sent
        network.advance(60)
    late = network.counts.sent - sent
    print(json.dumps({"found": found, "counts": network.counts._asdict(), "late": late, "seconds": seconds}))


if __name__ == "__main__":
    main()
