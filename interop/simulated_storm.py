"""
What a Twisted Kademlia does where a bucket is full: C{simulated_storm.py PACKAGE KEYS}.

Three nodes with buckets of one contact, on a simulated network.  A newcomer joins a node that has C{KEYS} keys for it,
and no room for it; prints as JSON how many requests to store a key were sent in each round trip from then on.
"""

from __future__ import print_function

import hashlib
import importlib
import json
import sys

import umsgpack

from rpcudp.testing import SimulatedNetwork

KEYS = int(sys.argv[2])
ROUND_TRIPS = 8
LATENCY = 0.5

# The first is in one half of all ids, and the others compete for its bucket of the other half.
FIRST, CONTACT, NEWCOMER = b"\x00" * 20, b"\xff" * 20, b"\x80" * 20


def isForNewcomer(key):
    """
    @return: whether the first node thinks that it is closest to C{key}, and the newcomer is closer than the contact.
        The package takes the hash of the hash for this.
    """
    digest = hashlib.sha1(hashlib.sha1(key.encode("ascii")).digest()).digest()
    return bytearray(digest)[0] < 0x40


def isStore(datagram):
    return datagram.data[:1] in (b"\x00", b"\x02") and umsgpack.unpackb(datagram.data[21:])[0] == u"store"


def main():
    network = SimulatedNetwork(latency=LATENCY, trace=True)
    host = network.host("192.0.2.1")
    with host.asReactor():
        package = importlib.import_module(sys.argv[1] + ".network")
        first, contact, newcomer = servers = [package.Server(ksize=1, id=id) for id in (FIRST, CONTACT, NEWCOMER)]
        for server in servers:
            host.listenUDP(0, server.protocol)
        known = [(host.address, first.protocol.transport.getHost().port)]
        network.run(contact.bootstrap(known))
        keys = (key for key in map("key {}".format, range(1000)) if isForNewcomer(key))
        for _ in range(KEYS):
            network.run(contact.set(next(keys), "value"))

        # Its first request arrives after half a round trip, and then they come and go.
        newcomer.bootstrap(known)
        network.advance(LATENCY / 2)
        stores = []
        for _ in range(ROUND_TRIPS):
            before = len(network.trace)
            network.advance(2 * LATENCY)
            stores.append(sum(isStore(datagram) for datagram, _ in network.trace[before:]))
    print(json.dumps(stores))


if __name__ == "__main__":
    main()
