"""
A soak: two processes call each other over loopback, while a third sends junk to both.

    python -m benchmarks.soak [CALLS]     a million in all, unless told otherwise

Ends with exit code 0 if every call was answered, nothing was logged and memory did not grow, which it knows how to ask
of Linux only.
"""

from __future__ import print_function

import json
import os
import random
import sys
import time

from twisted.internet import defer, protocol, reactor, task
from twisted.logger import formatEvent, globalLogPublisher

from benchmarks.junk import mutant, realDatagrams
from rpcudp._duplicates import MAX_BYTES
from rpcudp.protocol import RPCProtocol
from tests.support import BackgroundProcess

IN_FLIGHT = 25
# To each of the two, and so few at once that the receive buffer holds them beside the calls.
JUNK_PER_SECOND = 5000
JUNK_AT_ONCE = 10
# Growth of memory, once a tenth of the calls is through, that is no leak yet: the duplicate request cache fills up.
SLACK_KIB = 2048 + MAX_BYTES // 1024


def residentKiB():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


class Node(RPCProtocol):
    received = 0

    def datagramReceived(self, datagram, address):
        self.received += 1
        RPCProtocol.datagramReceived(self, datagram, address)

    def rpc_echo(self, sender, value):
        return value


@defer.inlineCallbacks
def runNode(port, peer, calls):
    """
    Call a peer, then report as JSON; go on answering until stopped.
    """
    logged = []
    node = Node(waitTimeout=10)
    reactor.listenUDP(port, node, interface="127.0.0.1")
    globalLogPublisher.addObserver(lambda event: logged.append(formatEvent(event)))
    report = {"calls": calls, "answered": 0, "memory after a tenth, KiB": None}
    numbers = iter(range(calls))

    @defer.inlineCallbacks
    def work():
        for number in numbers:
            value = [number, u"Snake Plissken", os.urandom(20)]
            result = yield node.echo(("127.0.0.1", peer), value)
            report["answered"] += result == (True, value)
            if number == calls // 10:
                report["memory after a tenth, KiB"] = residentKiB()

    yield task.deferLater(reactor, 1, lambda: None)
    began = time.time()
    yield defer.gatherResults([work() for _ in range(IN_FLIGHT)])
    report["seconds"] = round(time.time() - began, 1)
    report["memory at the end, KiB"] = residentKiB()
    report["datagrams received"] = node.received
    report["logged"] = logged[:3]
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


def runJunk(*ports):
    """
    Send bytes without sense, and real datagrams with some of them changed, for good.
    """
    real = realDatagrams()

    def junk():
        if random.random() < 0.3:
            return os.urandom(random.randrange(200))
        return mutant(real)

    def send():
        for _ in range(JUNK_AT_ONCE):
            for port in ports:
                sender.transport.write(junk(), ("127.0.0.1", port))

    sender = protocol.DatagramProtocol()
    reactor.listenUDP(0, sender, interface="127.0.0.1")
    task.LoopingCall(send).start(float(JUNK_AT_ONCE) / JUNK_PER_SECOND)


def start(*arguments):
    """
    Start one of the three processes.
    """
    command = [sys.executable, "-m", "benchmarks.soak"] + [str(argument) for argument in arguments]
    return BackgroundProcess(command, os.environ)


@defer.inlineCallbacks
def main(_, calls):
    ports = random.sample(range(20000, 30000), 2)
    nodes = [start("node", here, there, calls // 2) for here, there in (ports, ports[::-1])]
    junk = start("junk", *ports)
    try:
        lines = yield defer.gatherResults([node.firstLine for node in nodes])
    finally:
        for process in nodes + [junk]:
            # What ends without a word, as the one that sends junk does, is no error by now.
            process.firstLine.addErrback(lambda _: None)
            yield process.stop()
    sound = True
    for line in lines:
        report = json.loads(line.decode("ascii"))
        print(json.dumps(report, indent=4, sort_keys=True))
        growth = report["memory at the end, KiB"] - report["memory after a tenth, KiB"]
        sound = sound and report["answered"] == report["calls"] and not report["logged"] and growth < SLACK_KIB
    if not sound:
        raise SystemExit("not sound")


if __name__ == "__main__":
    role, numbers = sys.argv[1:2], [int(argument) for argument in sys.argv[2:]]
    if role == ["node"]:
        reactor.callWhenRunning(runNode, *numbers)
        reactor.run()
    elif role == ["junk"]:
        reactor.callWhenRunning(runJunk, *numbers)
        reactor.run()
    else:
        task.react(main, [int(role[0]) if role else 1000000])
