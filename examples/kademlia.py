"""
A distributed hash table in one file: Kademlia, as Maymounkov and Mazieres published it in 2002.  C{--help} says more.

Each node has an id of 160 random bits.  The distance between two ids is their exclusive or.  A value is stored at the K
nodes whose ids are closest to the hash of its name.  A node knows many nodes that are close to it and few that are far
away, so that whoever looks for an id asks nodes ever closer to it.  Ids are integers here, and 20 bytes on the wire,
where all is as in the published Kademlias.
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
Contact = namedtuple("Contact", ["id", "triple"])  # the id, and how all of it travels: (id, ip, port)


def toBytes(number):
    return binascii.unhexlify("{:040x}".format(number).encode("ascii"))


def isID(data):
    return isinstance(data, bytes) and len(data) == 20


def fromBytes(data):
    return int(binascii.hexlify(data), 16) if isID(data) else None


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
        self.random = random
        self.id = random.getrandbits(160)
        self.stored, self.buckets, self.checked = {}, {}, set()
        self.refreshing = LoopingCall(self.refresh)

    def startProtocol(self):
        self.refreshing.clock = self.transport.reactor
        self.refreshing.start(REFRESH, now=False)

    def stopProtocol(self):
        self.refreshing.stop()

    # What other nodes call.

    def rpc_ping(self, sender, nodeID):
        # A ping leads to no other ping, or there would be no end of them.
        self.seen(contactOf(nodeID, *sender), mayCheck=False)
        return toBytes(self.id)

    def rpc_store(self, sender, nodeID, key, value):
        self.seen(contactOf(nodeID, *sender))
        return self.keep(fromBytes(key), value)

    def rpc_find_node(self, sender, nodeID, key):
        self.seen(contactOf(nodeID, *sender))
        return [contact.triple for contact in self.closest(fromBytes(key) or 0)]

    def rpc_find_value(self, sender, nodeID, key):
        contacts = self.rpc_find_node(sender, nodeID, key)
        return {u"value": self.stored[fromBytes(key)]} if fromBytes(key) in self.stored else contacts

    def keep(self, key, value):
        if key is not None and (key in self.stored or len(self.stored) < MAX_STORED):
            self.stored[key] = value
        return key in self.stored

    def bucketOf(self, contact):
        return self.buckets.setdefault((contact.id ^ self.id).bit_length(), [])

    def closest(self, key):
        contacts = [contact for bucket in self.buckets.values() for contact in bucket]
        return sorted(contacts, key=lambda contact: contact.id ^ key)[:K]

    def seen(self, contact, mayCheck=True):
        # Something came from this node.  Where its bucket is full, the least recently seen in that is asked whether it
        # is still there, and replaced if it is not: nodes that have been there for long are likely to stay.
        if contact.id in (None, self.id):
            return
        bucket = self.bucketOf(contact)
        if contact in bucket:
            bucket.remove(contact)
        if len(bucket) < K:
            bucket.append(contact)
        elif mayCheck and bucket[0].id not in self.checked:
            self.checked.add(bucket[0].id)
            self.ask(bucket[0], "ping").addCallback(lambda _: self.seen(contact, mayCheck=False))

    def ask(self, contact, method, *arguments):
        try:
            deferred = getattr(self, method)(contact.triple[1:], toBytes(self.id), *arguments)
        except ValueError:
            # Some node has told us of an address that is none.
            deferred = deferLater(self.transport.reactor, 0, lambda: (False, None))
        return deferred.addCallback(self.asked, contact)

    def asked(self, outcome, contact):
        self.checked.discard(contact.id)
        if outcome[0]:
            self.seen(contact)
        elif contact in self.bucketOf(contact):
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
            contacts, _ = found  # this node may be one of them
            kept = (len(contacts) < K or self.id ^ key < contacts[-1].id ^ key) and self.keep(key, value)
            asked = DeferredList([self.ask(contact, "store", toBytes(key), value) for contact in contacts])
            return asked.addCallback(lambda outcomes: kept + outcomes.count((True, (True, True))))

        return Lookup(self, key).result.addCallback(atClosest)

    @inlineCallbacks
    def refresh(self):
        # This node gets to know others at each distance, and values get to the nodes that are closest to them by now.
        for digits in list(self.buckets):
            distance = 1 << (digits - 1)
            yield Lookup(self, self.id ^ distance ^ self.random.randrange(distance)).result
        for key in sorted(self.stored):
            # The closest does it for all that store it.
            if all(self.id ^ key < contact.id ^ key for contact in self.closest(key)):
                yield self.storeByKey(key, self.stored[key])


class Lookup(object):
    """
    A search for the K nodes that are closest to a key, and for what is stored there if C{method} is C{"find_value"}.

    @ivar result: a Deferred of those contacts, and of the value or C{None}.
    @ivar candidates: the nodes that were heard of and have not failed to answer, with their distances from the key.
    """

    def __init__(self, node, key, method="find_node"):
        self.node, self.key, self.method = node, key, method
        self.candidates, self.heardOf, self.hasAsked, self.inFlight = [], {toBytes(node.id)}, set(), 0
        self.result = Deferred()
        self.goOn([list(contact.triple) for contact in node.closest(key)])

    def goOn(self, triples):
        for triple in triples:
            if isinstance(triple, list) and len(triple) == 3 and isID(triple[0]) and triple[0] not in self.heardOf:
                self.heardOf.add(triple[0])
                contact = contactOf(*triple)
                insort(self.candidates, (contact.id ^ self.key, contact))
        # It is over when the K closest have all answered.
        for _, contact in self.candidates[:K]:
            if contact.id not in self.hasAsked and self.inFlight < ALPHA and self.node.transport is not None:
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
        if isinstance(answer, dict) and u"value" in answer:
            self.end(answer[u"value"])
        else:
            self.goOn(answer[:K] if isinstance(answer, list) else [])

    def end(self, value):
        self.result.callback(([contact for _, contact in self.candidates[:K]], value))


@inlineCallbacks
def demonstrate(count, listen, chance):
    nodes, addresses = [], []
    while len(nodes) < count:
        joining = [Node(chance) for _ in range(min(len(nodes) or 1, count - len(nodes)))]
        known = [chance.sample(addresses, min(3, len(addresses))) for _ in joining]
        nodes += joining
        for node in joining:
            here = listen(node, len(addresses)).getHost()
            addresses.append((here.host, here.port))
        yield DeferredList([node.join(some) for node, some in zip(joining, known)])
    print("{} of {} nodes have joined.".format(sum(any(node.buckets.values()) for node in nodes), count))
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
    if options.simulated is None:
        react(lambda reactor: demonstrate(50, lambda node, _: reactor.listenUDP(0, node, "127.0.0.1"), random))
    network = SimulatedNetwork(options.seed, latency=0.03, jitter=0.04, loss=options.loss)

    def listen(node, number):
        host = network.host("10.{}.{}.{}".format(number >> 16, number >> 8 & 255, number & 255))
        return host.listenUDP(0, node, host.address)

    network.run(demonstrate(options.simulated, listen, random.Random(options.seed)))
    print("It took {} virtual seconds: {}".format(network.seconds(), network.counts))
