"""
A distributed hash table in one file: Kademlia, as Maymounkov and Mazieres published it in 2002.  C{--help} says more.

Each node has an id of 160 random bits.  The distance between two ids is their exclusive or.  A value is stored at the K
nodes whose ids are closest to the hash of its name.  A node knows many nodes close to it and few far away, so that
whoever looks for an id asks ever closer ones.  Ids are integers here; what travels is as in the published Kademlias.
"""

import argparse
import binascii
import hashlib
import random
from bisect import insort
from collections import namedtuple

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, succeed
from twisted.internet.task import LoopingCall, deferLater, react

from rpcudp.protocol import RPCProtocol
from rpcudp.testing import SimulatedNetwork

K = 20  # nodes that store a value, and at most as many are known at each distance
ALPHA = 3  # nodes that a lookup asks at one time
REFRESH = 3600  # seconds
MAX_STORED = 10000  # values that a node keeps
MAX_ASKED = 200  # nodes that a lookup asks, as some may tell of ever closer ones that there are not
Contact = namedtuple("Contact", ["id", "triple"])  # the id, and how all of it travels: (id, ip, port)


def toBytes(number):
    return binascii.unhexlify("{:040x}".format(number).encode("ascii"))


def fromBytes(data):
    return int(binascii.hexlify(data), 16) if isinstance(data, bytes) and len(data) == 20 else None


def hashOf(name):
    return fromBytes(hashlib.sha1(name.encode("utf-8")).digest())


def contactOf(nodeID, ip, port):
    # On Python 2, an IP address comes as bytes from the port, and would travel as such.
    return Contact(fromBytes(nodeID), (nodeID, ip.decode("ascii", "replace") if isinstance(ip, bytes) else ip, port))


class Node(RPCProtocol):
    """
    @ivar stored: the values that are kept here, by the hash of their names.
    @ivar buckets: the contacts, by the binary digits of their distance from here, the least recently seen first.
    @ivar checked: the ids of those that are being asked whether they are still there.
    """

    def __init__(self, random=random, waitTimeout=(0.3, 0.6, 1.2), **options):
        RPCProtocol.__init__(self, waitTimeout, **options)
        self.random, self.id = random, random.getrandbits(160)
        self.stored, self.buckets, self.checked = {}, {}, set()
        self.refreshing = LoopingCall(self.refresh)

    def startProtocol(self):
        self.refreshing.clock = self.transport.reactor
        self.refreshing.start(REFRESH, now=False)

    def stopProtocol(self):
        if self.refreshing.running:
            self.refreshing.stop()

    def rpc_ping(self, sender, nodeID):
        self.seen(contactOf(nodeID, *sender), mayCheck=False)  # else pings would lead to pings without an end
        return toBytes(self.id)

    def rpc_store(self, sender, nodeID, key, value):
        self.seen(contactOf(nodeID, *sender))
        # Without an id it leaves room for a value that is too long to be sent again with one.
        return fromBytes(nodeID) is not None and self.keep(fromBytes(key), value)

    def rpc_find_node(self, sender, nodeID, key):
        self.seen(contactOf(nodeID, *sender))
        return [contact.triple for contact in self.closest(fromBytes(key) or 0, nodeID)]

    def rpc_find_value(self, sender, nodeID, key):
        contacts, number = self.rpc_find_node(sender, nodeID, key), fromBytes(key)
        return {u"value": self.stored[number]} if number in self.stored else contacts

    def keep(self, key, value):
        # No lists and maps: they take far more memory than came over the network, and may not fit in a datagram again.
        isRight = key is not None and not isinstance(value, (list, tuple, dict))
        if isRight and (key in self.stored or len(self.stored) < MAX_STORED):
            self.stored[key] = value
        return isRight and key in self.stored

    def bucketOf(self, contact):
        return self.buckets.setdefault((contact.id ^ self.id).bit_length(), [])

    def closest(self, key, butFor=None):
        contacts = [contact for contact in sum(self.buckets.values(), []) if contact.triple[0] != butFor]
        return sorted(contacts, key=lambda contact: contact.id ^ key)[:K]

    def seen(self, contact, mayCheck=True):
        # Something came from this node.  One with its id at another address, or else the least recently seen where its
        # bucket is full, is asked whether it is still there, and replaced if not: what has been there long may stay.
        if contact.id in (None, self.id):
            return
        bucket = self.bucketOf(contact)
        if contact in bucket:
            bucket.remove(contact)
        inTheWay = [known for known in bucket if known.id == contact.id] or (bucket[:1] if len(bucket) >= K else [])
        if not inTheWay:
            bucket.append(contact)
        elif mayCheck and inTheWay[0].id not in self.checked:
            self.checked.add(inTheWay[0].id)
            self.ask(inTheWay[0], "ping").addCallback(lambda _: self.seen(contact, mayCheck=False))

    def ask(self, contact, method, *arguments):
        if self.transport is None:  # The port is closed; what was in flight then has no answer either.
            return succeed((False, None))
        try:
            deferred = getattr(self, method)(contact.triple[1:], toBytes(self.id), *arguments)
        except ValueError:  # Some node has told us of an address that is none.
            deferred = deferLater(self.transport.reactor, 0, lambda: (False, None))
        return deferred.addCallback(self.asked, contact)

    def asked(self, outcome, contact):
        self.checked.discard(contact.id)
        if outcome[0]:
            self.seen(contact)
        elif self.transport is not None and contact in self.bucketOf(contact):
            self.bucketOf(contact).remove(contact)
        return outcome

    # What the application calls: set returns a Deferred of how many nodes store the value, get one of it or None.

    @inlineCallbacks
    def join(self, addresses):
        outcomes = yield DeferredList([self.ping(address, toBytes(self.id)) for address in addresses])
        for address, (_, (_, nodeID)) in zip(addresses, outcomes):
            self.seen(contactOf(nodeID, *address))
        yield Lookup(self, self.id).result

    def get(self, name):
        key = hashOf(name)
        found = succeed(([], self.stored[key])) if key in self.stored else Lookup(self, key, "find_value").result
        return found.addCallback(lambda found: found[1])

    def set(self, name, value):
        return self.storeByKey(hashOf(name), value)

    def storeByKey(self, key, value):
        def atClosest(found):
            contacts, _ = found
            isOne = len(contacts) < K or self.id ^ key < contacts[-1].id ^ key  # whether this node is one of the K
            asked = [self.ask(contact, "store", toBytes(key), value) for contact in contacts[: K - isOne]]
            kept = isOne and self.keep(key, value)
            return DeferredList(asked).addCallback(lambda outcomes: kept + outcomes.count((True, (True, True))))

        return Lookup(self, key).result.addCallback(atClosest)

    @inlineCallbacks
    def refresh(self):  # This node hears of others at each distance, and values get to those that are closest by now.
        for digits in list(self.buckets):
            distance = 1 << (digits - 1)
            yield Lookup(self, self.id ^ distance ^ self.random.randrange(distance)).result
        for key in sorted(self.stored):
            # The closest of those that store it does it for all.
            for contact in self.closest(key):
                isCloser = contact.id ^ key < self.id ^ key
                if isCloser and isinstance((yield self.ask(contact, "find_value", toBytes(key)))[1], dict):
                    break
            else:
                yield self.storeByKey(key, self.stored[key])


class Lookup(object):
    """
    A search for the K nodes that are closest to a key, and for what is stored there if C{method} is C{"find_value"}.

    @ivar result: a Deferred of those contacts, and of the value or C{None}.
    @ivar candidates: the nodes that were heard of and have not failed to answer, with their distances from the key.
    """

    def __init__(self, node, key, method="find_node"):
        self.node, self.key, self.method, self.result = node, key, method, Deferred()
        self.candidates, self.heardOf, self.hasAsked, self.inFlight = [], {toBytes(node.id)}, set(), 0
        self.goOn([list(contact.triple) for contact in node.closest(key)])

    def goOn(self, triples):
        for triple in triples:
            nodeID = triple[0] if isinstance(triple, list) and len(triple) == 3 else None
            if isinstance(nodeID, bytes) and len(nodeID) == 20 and nodeID not in self.heardOf:
                self.heardOf.add(nodeID)
                insort(self.candidates, (fromBytes(nodeID) ^ self.key, contactOf(*triple)))
        # It is over when the K closest have all answered, or too many were asked.
        for _, contact in self.candidates[:K]:
            isEnough = self.inFlight == ALPHA or len(self.hasAsked) == MAX_ASKED or self.node.transport is None
            if not isEnough and contact.id not in self.hasAsked:
                self.hasAsked.add(contact.id)
                self.inFlight += 1
                self.node.ask(contact, self.method, toBytes(self.key)).addCallback(self.asked, contact)
        if self.inFlight == 0:
            self.end(None)

    def asked(self, outcome, contact):
        answered, answer = outcome
        self.inFlight -= 1
        if not answered:
            self.candidates.remove((contact.id ^ self.key, contact))
        if self.result.called:
            return
        if self.method == "find_value" and isinstance(answer, dict) and u"value" in answer:
            self.end(answer[u"value"])
        else:
            self.goOn(answer[:K] if isinstance(answer, list) else [])

    def end(self, value):
        self.result.callback(([contact for _, contact in self.candidates[:K]], value))


@inlineCallbacks
def demonstrate(places, chance):
    nodes, addresses = [], []
    while len(nodes) < len(places):
        joining = [Node(chance) for _ in places[len(nodes) : 2 * len(nodes) or 1]]
        known = [chance.sample(addresses, min(3, len(addresses))) for _ in joining]
        nodes += joining
        for node in joining:
            host, ip = places[len(addresses)]
            addresses.append((ip, host.listenUDP(0, node, ip).getHost().port))
        yield DeferredList([node.join(some) for node, some in zip(joining, known)])
    print("{} of {} nodes have joined.".format(sum(any(node.buckets.values()) for node in nodes), len(nodes)))
    names = [u"key {}".format(number) for number in range(20)]
    copies = yield DeferredList([chance.choice(nodes).set(name, name.upper()) for name in names])
    values = yield DeferredList([chance.choice(nodes).get(name) for name in names])
    found = sum(value == (True, name.upper()) for name, value in zip(names, values))
    print("{} of {} values were found; each is stored by {} nodes or more.".format(found, len(names), min(copies)[1]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A Kademlia: 50 nodes over loopback, or many in virtual time.")
    parser.add_argument("--simulated", type=int, metavar="N", help="how many nodes, in virtual time")
    parser.add_argument("--loss", type=float, default=0.0, help="the share of datagrams that is lost then")
    parser.add_argument("--seed", type=int, default=0, help="of all that is left to chance then")
    options = parser.parse_args()
    if not 0 <= options.loss <= 1 or options.simulated is not None and not 0 < options.simulated < 1 << 24:
        parser.error("N is from 1 to {}, and LOSS from 0 to 1".format((1 << 24) - 1))
    if options.simulated is None:
        react(lambda reactor: demonstrate([(reactor, "127.0.0.1")] * 50, random))
    network = SimulatedNetwork(options.seed, latency=0.03, jitter=0.04, loss=options.loss)
    ips = ["10.{}.{}.{}".format(number >> 16, number >> 8 & 255, number & 255) for number in range(options.simulated)]
    network.run(demonstrate([(network.host(ip), ip) for ip in ips], random.Random(options.seed)))
    print("It took {} virtual seconds: {}".format(network.seconds(), network.counts))
