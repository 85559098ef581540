"""
What does not show in calls a second, in a process of its own: C{costs.py [COUNT]} prints it as JSON.

The calls go to a peer that never answers, on a transport that takes everything.
"""

import gc
import json
import os
import random
import sys
import time

from junk import mutant, realDatagrams
from memory import PEER, Silence
from rpcudp.protocol import RPCProtocol
from rpcudp.testing import SimulatedNetwork

WAIT = 5.0


class Clock(object):
    """
    A clock for one timer, that costs next to nothing.
    """

    now = 0.0
    timer = None

    def seconds(self):
        return self.now

    def callLater(self, wait, function):
        self.timer = (self.now + wait, function)
        return self

    def cancel(self):
        self.timer = None

    def advance(self, seconds):
        self.now += seconds
        if self.timer and self.timer[0] <= self.now:
            _, function = self.timer
            self.timer = None
            function()


def listen(clock):
    protocol = RPCProtocol(waitTimeout=WAIT, reactor=clock)
    protocol.makeConnection(Silence())
    return protocol


def microsecondsPerCall(inFlight, count):
    """
    @return: what it takes to place one call and to let another expire, with so many in flight.
    """
    clock = Clock()
    protocol = listen(clock)

    def step():
        protocol.ping(PEER)
        clock.advance(WAIT / inFlight)

    # Each of them is to have its turn.
    count = max(count, inFlight)
    for _ in range(inFlight):
        step()
    # Or what is measured would be the garbage collector, which looks at them all every now and then.
    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    for _ in range(count):
        step()
    taken = time.perf_counter() - began
    protocol.doStop()
    gc.unfreeze()
    return 1e6 * taken / count


def microsecondsPerTimer(pending, count):
    """
    @return: what it takes to place and cancel a timer of a simulated host, with so many pending on the network.
    """
    network = SimulatedNetwork()
    hosts = [network.host("10.0.0.{}".format(number)) for number in range(1, 11)]
    for number in range(pending):
        hosts[number % 10].callLater(random.uniform(1, 1000), int)
    delays = [random.uniform(1, 1000) for _ in range(count)]
    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    for delay in delays:
        hosts[0].callLater(delay, int).cancel()
    taken = time.perf_counter() - began
    gc.unfreeze()
    return 1e6 * taken / count


def junkDatagrams(count):
    """
    @return: by kind, datagrams without sense.
    """
    real = realDatagrams()
    return {
        "random bytes": [os.urandom(random.randrange(1, 200)) for _ in range(count)],
        "random payloads": [b"\x00" + os.urandom(random.randrange(21, 200)) for _ in range(count)],
        "mutants of real datagrams": [mutant(real) for _ in range(count)],
        # What takes longest to unpack.
        "8 KiB answers that nobody waits for": [b"\x01" + os.urandom(20) + b"\xdc\x1f\xfd" + b"\x80" * 8189] * 100,
    }


def microsecondsPerDatagram(datagrams):
    protocol = listen(Clock())
    began = time.perf_counter()
    for datagram in datagrams:
        protocol.datagramReceived(datagram, PEER)
    return 1e6 * (time.perf_counter() - began) / len(datagrams)


def main(count):
    timers = {
        pending: min(microsecondsPerTimer(pending, 10 * count) for _ in range(3)) for pending in (10, 1000, 100000)
    }
    timers["100000 to 10, the ratio"] = timers[100000] / timers[10]
    print(
        json.dumps(
            {
                "microseconds to place a call and expire one": {
                    inFlight: min(microsecondsPerCall(inFlight, count) for _ in range(3))
                    for inFlight in (10, 1000, 100000)
                },
                "microseconds to place and cancel a simulated timer": timers,
                "microseconds per junk datagram": {
                    kind: microsecondsPerDatagram(datagrams) for kind, datagrams in junkDatagrams(count).items()
                },
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20000)
