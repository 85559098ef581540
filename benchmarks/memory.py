"""
What is kept in memory, in a process of its own: C{memory.py [COUNT]} prints it as JSON, in bytes.

It is what Python has allocated, as L{tracemalloc} counts it.  Nothing is used that ours alone has, so that the
published packages are measured alike.
"""

import json
import os
import sys
import tracemalloc

import umsgpack
from rpcudp.protocol import RPCProtocol
from twisted.internet.defer import Deferred

PEER = ("192.0.2.1", 1234)


class Silence(object):
    """
    A transport that takes everything.
    """

    def write(self, datagram, address):
        pass


class Answerer(RPCProtocol):
    """
    Answers one method at once, and the other never.

    @ivar held: what would answer the requests to the other, which something has to keep.
    """

    def rpc_sayhi(self, sender, name):
        return u"Hello " + name

    def rpc_hold(self, sender, argument):
        self.held.append(Deferred())
        return self.held[-1]


def listen():
    protocol = Answerer()
    protocol.held = None
    protocol.makeConnection(Silence())
    return protocol


def bytesFor(count, step):
    """
    @param step: called with a number, so many times; what it returns is kept too.

    @return: how many bytes are kept for each of them.
    """
    kept = [step(0)] + [None] * count
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(1, count + 1):
        kept[number] = step(number)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / float(count)


def bytesForRequest(count, method, argument):
    """
    @return: how long the datagram of such a request is, and how many bytes are kept for each that came.
    """
    protocol = listen()
    protocol.held = []
    payload = umsgpack.packb([method, [argument]])

    def come(number):
        # From so many senders that none has more than its share.
        sender = ("10.0.{}.{}".format(number >> 8, number & 255), 1234)
        protocol.datagramReceived(b"\x00" + os.urandom(20) + payload, sender)

    return 21 + len(payload), bytesFor(count, come)


def main(count):
    caller = listen()
    figures = {
        "an idle protocol": bytesFor(count, lambda number: listen()),
        "a call in flight": bytesFor(20 * count, lambda number: caller.ping(PEER)),
    }
    for text, method, argument in [
        ("an answered request", u"sayhi", u"Snake Plissken"),
        ("a request in hand", u"hold", u"Snake Plissken"),
        ("a request in hand", u"hold", b"\x00" * (8192 - 10)),
    ]:
        length, kept = bytesForRequest(count // 2, method, argument)
        figures["{}, of {:,} bytes".format(text, length)] = kept
    print(json.dumps(figures))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
