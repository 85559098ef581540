"""
Calls through a relay that loses one datagram in twenty, each way, and duplicates another one in twenty.

    python -m benchmarks.loss [CALLS]     10000 unless told otherwise

Ends with exit code 0 if a schedule of waits has 99.9 % of the calls answered, and no handler ran twice.
"""

from __future__ import print_function

import json
import os
import random
import sys
from collections import Counter

from twisted.internet import defer, protocol, reactor, task

from rpcudp.protocol import RPCProtocol

LOSS = DUPLICATION = 0.05
SCHEDULE = (0.2, 0.4, 0.8, 1.6)
IN_FLIGHT = 200
HOST = "127.0.0.1"


class Side(protocol.DatagramProtocol):
    """
    One of the two ports of the relay.

    @ivar other: the other one.
    @ivar peer: the address of the node on this side.
    """

    peer = None

    def datagramReceived(self, datagram, address):
        self.peer = address
        if random.random() < LOSS:
            return
        self.other.transport.write(datagram, self.other.peer)
        if random.random() < DUPLICATION:
            self.other.transport.write(datagram, self.other.peer)


class Answerer(RPCProtocol):
    def __init__(self):
        RPCProtocol.__init__(self)
        self.ran = Counter()

    def rpc_echo(self, sender, number):
        self.ran[number] += 1
        return number

    def rpc_report(self, sender):
        return {u"run": len(self.ran), u"run more than once": sum(times > 1 for times in self.ran.values())}


def listen(node):
    return reactor.listenUDP(0, node, interface=HOST).getHost().port


def announce(port):
    print(port)
    sys.stdout.flush()


def relay(port):
    caller, answerer = Side(), Side()
    caller.other, answerer.other = answerer, caller
    answerer.peer = (HOST, port)
    listen(answerer)
    announce(listen(caller))


def answer():
    announce(listen(Answerer()))


def callThrough(port, calls, waitTimeout):
    """
    Call C{echo} so many times.

    @param port: of the relay.

    @return: a Deferred of the number of calls that were answered.
    """
    caller = RPCProtocol(waitTimeout=waitTimeout)
    listening = reactor.listenUDP(0, caller, interface=HOST)
    numbers = iter(range(calls))
    answered = []

    @defer.inlineCallbacks
    def work():
        for number in numbers:
            outcome = yield caller.echo((HOST, port), number)
            if outcome == (True, number):
                answered.append(number)

    ended = defer.gatherResults([work() for _ in range(IN_FLIGHT)])
    ended.addCallback(lambda _: listening.stopListening())
    return ended.addCallback(lambda _: len(answered))


@defer.inlineCallbacks
def main(_, calls):
    # It has a Deferred of a process's first line, which is its port.
    from tests.support import BackgroundProcess

    program = [sys.executable, "-m", "benchmarks.loss"]
    sound = True
    for waitTimeout in (SCHEDULE, SCHEDULE[-1]):
        answerer = BackgroundProcess(program + ["answer"], os.environ)
        port = yield answerer.firstLine
        between = BackgroundProcess(program + ["relay", port.decode("ascii")], os.environ)
        relayPort = yield between.firstLine
        report = {"waitTimeout": waitTimeout, "calls": calls}
        report["answered"] = yield callThrough(int(relayPort), calls, waitTimeout)
        asking = RPCProtocol()
        listen(asking)
        _, ran = yield asking.report((HOST, int(port)))
        report.update(ran)
        print(json.dumps(report, sort_keys=True))
        yield between.stop()
        yield answerer.stop()
        sound = sound and not report["run more than once"] and report["run"] >= report["answered"]
        if waitTimeout is SCHEDULE:
            sound = sound and report["answered"] >= 0.999 * calls
    if not sound:
        raise SystemExit("not sound")


if __name__ == "__main__":
    role = sys.argv[1:2]
    if role == ["relay"]:
        reactor.callWhenRunning(relay, int(sys.argv[2]))
        reactor.run()
    elif role == ["answer"]:
        reactor.callWhenRunning(answer)
        reactor.run()
    else:
        task.react(main, [int(role[0]) if role else 10000])
