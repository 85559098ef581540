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
from rpcudp.roundtrip import RoundTripWaits
from rpcudp.testing import SimulatedNetwork

K = 20  # nodes that store a value, and at most as many are known at each distance
ALPHA = 3  # nodes that a lookup asks at one time
REFRESH, MAX_STORED = 3600, 10000  # seconds, and values that a node keeps
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

    def __init__(self, random=random, waitTimeout=None, **options):
        self.waits = RoundTripWaits() if waitTimeout is None else waitTimeout
        RPCProtocol.__init__(self, self.waits, **options)
        self.random, self.refreshing = random, LoopingCall(self.refresh)
        self.id, self.stored, self.buckets, self.checked = random.getrandbits(160), {}, {}, set()

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
        bucket[:] = [known for known in bucket if known != contact]
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

    def watch(self, contact, outcome, told):
        if hasattr(self.waits, "expected"):  # A node is late after two round trips, a stranger after its first wait.
            late = min(1, 2 * (self.waits.expected(contact.triple[1:]) or 0) or self.waits.waits(contact.triple[1:])[0])
            timer = self.transport.reactor.callLater(late, told, (None, None), contact)
            outcome.addCallback(lambda outcome: timer.active() and timer.cancel() or outcome)
        outcome.addCallback(told, contact)

    def asked(self, outcome, contact):
        self.checked.discard(contact.id)
        if outcome[0]:
            self.seen(contact)
        elif self.transport is not None and contact in self.bucketOf(contact):
            self.bucketOf(contact).remove(contact)
        return outcome

    @inlineCallbacks
    def join(self, addresses):
        outcomes = yield DeferredList([self.ping(address, toBytes(self.id)) for address in addresses])
        for address, (_, (_, nodeID)) in zip(addresses, outcomes):
            self.seen(contactOf(nodeID, *address))
        yield Lookup(self, self.id).result

    def get(self, name):
        key = hashOf(name)
        return succeed(self.stored[key]) if key in self.stored else Lookup(self, key, "find_value").result

    def set(self, name, value, key=None):
        key = hashOf(name) if key is None else key

        def atClosest(contacts):
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
            for contact in self.closest(key):  # the closest of those that store it does it for all
                isCloser = contact.id ^ key < self.id ^ key
                if isCloser and isinstance((yield self.ask(contact, "find_value", toBytes(key)))[1], dict):
                    break
            else:
                yield self.set(None, self.stored[key], key)


class Lookup(object):
    """
    A search for the K nodes that are closest to a key, or for what is stored there if C{method} is C{"find_value"}.

    @ivar result: a Deferred of those contacts, or of the value or C{None}.
    @ivar candidates: the nodes that were heard of and have not failed to answer, with their distances from the key.
    @ivar late: the ids of those that are late: others are asked as if they were not there.  Their answers still count.
    @ivar inFlight: the ids of the others that are being asked.
    """

    def __init__(self, node, key, method="find_node"):
        self.node, self.key, self.method, self.result = node, key, method, Deferred()
        self.candidates, self.heardOf = [], {toBytes(node.id)}
        self.hasAsked, self.inFlight, self.late = set(), set(), set()
        self.goOn([list(contact.triple) for contact in node.closest(key)])

    def goOn(self, triples):
        for triple in triples:
            nodeID, ip, port = triple if isinstance(triple, list) and len(triple) == 3 else (None, None, None)
            isRight = fromBytes(nodeID) is not None and hasattr(ip, "strip") and isinstance(port, int)
            if nodeID and isRight and nodeID not in self.heardOf:
                self.heardOf.add(nodeID)
                insort(self.candidates, (fromBytes(nodeID) ^ self.key, contactOf(nodeID, ip, port)))
        closest = [contact for _, contact in self.candidates if contact.id not in self.late][:K]
        for contact in closest:
            isEnough = len(self.inFlight) == ALPHA or len(self.hasAsked) == MAX_ASKED or self.node.transport is None
            if not isEnough and contact.id not in self.hasAsked:
                self.hasAsked.add(contact.id)
                self.inFlight.add(contact.id)
                self.node.watch(contact, self.node.ask(contact, self.method, toBytes(self.key)), self.asked)
        if not self.inFlight and (len(closest) == K or not self.late):  # The late are missed where there are no others.
            self.result.callback(closest if self.method == "find_node" else None)

    def asked(self, outcome, contact):
        answered, answer = outcome
        self.inFlight.discard(contact.id)
        self.late.discard(contact.id)
        if answered is None:  # It is late.
            self.late.add(contact.id)
        elif not answered:
            self.candidates.remove((contact.id ^ self.key, contact))
        if self.result.called:
            return
        if self.method == "find_value" and isinstance(answer, dict) and u"value" in answer:
            self.result.callback(answer[u"value"])
        else:
            self.goOn(answer[:K] if isinstance(answer, list) else [])


@inlineCallbacks
def demonstrate(places, chance):
    nodes, addresses = [], []
    for host, ip in places:
        nodes.append(Node(chance))
        addresses.append((ip, host.listenUDP(0, nodes[-1], ip).getHost().port))
        yield nodes[-1].join(chance.sample(addresses, min(3, len(addresses))))
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
