"""
examples/cores.py: several processes on one port.
"""

import os
import signal
import socket
import sys

from twisted.internet import defer, reactor, task
from twisted.trial.unittest import SkipTest

from rpcudp.protocol import RPCProtocol
from tests.support import ENVIRONMENT, BackgroundProcess, ProcessTestCase, freePort

EXAMPLE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "examples", "cores.py")

# With two workers, the probability that all of them are one worker's is two in a billion billions.
SENDERS = 60


class Node(RPCProtocol):
    def rpc_who(self, sender):
        return u"the test"


class CoresTests(ProcessTestCase):
    def setUp(self):
        if not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT") or not sys.platform.startswith("linux"):
            raise SkipTest("the kernel does not share a port among processes here")

    def listen(self, protocol):
        port = reactor.listenUDP(0, protocol, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return "127.0.0.1", port.getHost().port

    @defer.inlineCallbacks
    def start(self):
        port = freePort()
        self.there = "127.0.0.1", port
        self.server = BackgroundProcess(["/usr/bin/setsid", sys.executable, EXAMPLE, str(port), "2"], ENVIRONMENT)
        self.addCleanup(self.server.stop)
        line = yield self.server.firstLine
        self.assertEqual(line.decode("ascii"), "Workers on port {}: 2; stop with Ctrl-C.".format(port))

    @defer.inlineCallbacks
    def workers(self):
        """
        @return: a Deferred of what the workers call themselves, as each of many senders is told it twice.
        """
        senders = [RPCProtocol(waitTimeout=(1, 2, 4)) for _ in range(SENDERS)]
        for sender in senders:
            self.listen(sender)
        told = []
        for _ in range(2):
            told.append((yield defer.gatherResults([sender.who(self.there) for sender in senders])))
        self.assertTrue(all(answered for answered, _ in told[0]))
        self.assertEqual(told[0], told[1])
        defer.returnValue({name for _, name in told[0]})

    @defer.inlineCallbacks
    def gone(self):
        """
        @return: a Deferred that fires when none of the processes listens any more.
        """
        while True:
            probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                probe.bind(("", self.there[1]))
                break
            except socket.error:
                yield task.deferLater(reactor, 0.02, lambda: None)
            finally:
                probe.close()

    @defer.inlineCallbacks
    def test_eachSenderHasOneWorkerAndEachWorkerSenders(self):
        yield self.start()
        names = yield self.workers()
        self.assertEqual(len(names), 2)

    @defer.inlineCallbacks
    def test_aWorkerCallsFromAPortOfItsOwn(self):
        yield self.start()
        there = self.listen(Node())
        callers = [RPCProtocol(waitTimeout=(1, 2, 4)) for _ in range(SENDERS)]
        for caller in callers:
            self.listen(caller)
        outcomes = yield defer.gatherResults([caller.ask(self.there, *there) for caller in callers])
        self.assertEqual(outcomes, [(True, u"the test")] * SENDERS)

    @defer.inlineCallbacks
    def test_callsFromTheSharedPortGetLost(self):
        port, nodes = freePort(), [RPCProtocol(waitTimeout=0.3) for _ in range(2)]
        for node in nodes:
            shared = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            shared.setblocking(False)
            shared.bind(("127.0.0.1", port))
            adopted = reactor.adoptDatagramPort(shared.fileno(), socket.AF_INET, node)
            shared.close()
            self.addCleanup(adopted.stopListening)
        peers = [self.listen(Node()) for _ in range(SENDERS)]
        outcomes = yield defer.gatherResults([nodes[0].who(peer) for peer in peers])
        self.assertEqual({answered for answered, _ in outcomes}, {True, False})

    @defer.inlineCallbacks
    def test_stopping(self):
        # As from a terminal, or from what stops a service, they get signals all at once.
        for number, kill in ((signal.SIGTERM, os.killpg), (signal.SIGINT, os.killpg), (signal.SIGKILL, os.kill)):
            yield self.start()
            kill(self.server.transport.pid, number)
            yield self.gone()
            yield self.server.ended
            self.assertEqual(self.server.errors, b"")

    @defer.inlineCallbacks
    def test_aWorkerEnds(self):
        yield self.start()
        names = yield self.workers()
        os.kill(int(min(names).split()[1]), signal.SIGKILL)
        yield self.gone()
        yield self.server.ended
        self.assertEqual(self.server.errors, b"A worker has ended, and so the others are stopped.\n")

    @defer.inlineCallbacks
    def test_startedTwice(self):
        yield self.start()
        outcome = yield self.runPython(EXAMPLE, str(self.there[1]), "2")
        self.assertPlainFailure(outcome, "^Port {} cannot be listened on: .*in use$".format(self.there[1]))

    @defer.inlineCallbacks
    def test_portTaken(self):
        port = self.takePort()
        outcome = yield self.runPython(EXAMPLE, str(port), "2")
        self.assertPlainFailure(outcome, "^Port {} cannot be listened on: .*in use$".format(port))
