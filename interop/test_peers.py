"""
The published packages and ours call each other.
"""

import json
import os
import sys

from twisted.internet import defer
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from benchmarks import loss
from interop import environments
from tests.support import BackgroundProcess

HERE = os.path.dirname(os.path.abspath(__file__))
TWISTED = os.path.join(HERE, "twisted_peer.py")
ASYNCIO = os.path.join(HERE, "asyncio_peer.py")


class PeerTests(object):
    """
    A published package, called by ours on two interpreters, and calling it.

    @cvar python: the interpreter of the published package.
    @cvar package: what to install there.
    @cvar script: the peer that is written for it.
    @cvar module: from where such a peer takes C{RPCProtocol}.
    """

    timeout = 300
    module = "rpcudp"
    script = TWISTED

    def setUp(self):
        self.theirs = environments.python(self.python, [self.package])
        self.oursOn27 = environments.python("2.7", [environments.ours()])
        self.oursOn313 = environments.python("3.13", [environments.ours()])

    @defer.inlineCallbacks
    def check(self, server, serverScript, caller, callerScript, hasCoroutines):
        """
        @param hasCoroutines: whether the server's handlers can be coroutines.
        """
        serving = BackgroundProcess([server, serverScript, "serve", self.module], environments.PROCESS_ENVIRONMENT)
        self.addCleanup(serving.stop)
        port = yield serving.firstLine
        arguments = [callerScript, "call", self.module, port.decode("ascii")]
        if callerScript == ASYNCIO:
            arguments.remove(self.module)
        output, errors, code = yield getProcessOutputAndValue(caller, arguments, environments.PROCESS_ENVIRONMENT)
        self.assertEqual(code, 0, errors)
        outcomes = json.loads(output.decode("ascii"))
        for name in ("fail", "absent"):
            self.assertEqual(outcomes.pop(name), [False, None], name)
        self.assertEqual(outcomes.pop("deferred"), [True, 7])
        self.assertEqual(outcomes.pop("coroutine"), [True, 7] if hasCoroutines else [False, None])
        self.assertEqual({name for name, success in outcomes.items() if not success}, set())
        self.assertGreater(len(outcomes), 30)

    def test_oursOnPython27CallsIt(self):
        return self.check(self.theirs, self.script, self.oursOn27, TWISTED, self.python != "2.7")

    def test_oursOnPython313CallsIt(self):
        return self.check(self.theirs, self.script, self.oursOn313, TWISTED, self.python != "2.7")

    def test_itCallsOursOnPython27(self):
        return self.check(self.oursOn27, TWISTED, self.theirs, self.script, False)

    def test_itCallsOursOnPython313(self):
        return self.check(self.oursOn313, TWISTED, self.theirs, self.script, True)


class LossTests(TestCase):
    """
    A published package answers through a relay that loses one datagram in twenty, each way.
    """

    timeout = 300

    @defer.inlineCallbacks
    def test_scheduleSurvivesTheLoss(self):
        theirs = environments.python("3.11", ["rpcudp==2.1"])
        answerer = BackgroundProcess([theirs, TWISTED, "serve", "rpcudp"], environments.PROCESS_ENVIRONMENT)
        self.addCleanup(answerer.stop)
        port = yield answerer.firstLine
        relay = BackgroundProcess([sys.executable, loss.__file__, "relay", port.decode("ascii")], os.environ)
        self.addCleanup(relay.stop)
        relayPort = yield relay.firstLine
        answered = yield loss.callThrough(int(relayPort), 2000, loss.SCHEDULE)
        self.assertGreaterEqual(answered, 1995)
        answered = yield loss.callThrough(int(relayPort), 2000, loss.SCHEDULE[-1])
        self.assertLess(answered, 1900)


class RPCUDP21OnPython27Tests(PeerTests, TestCase):
    package, python = "rpcudp==2.1", "2.7"


class RPCUDP21OnPython311Tests(PeerTests, TestCase):
    package, python = "rpcudp==2.1", "3.11"


class StorjRPCUDP24OnPython27Tests(PeerTests, TestCase):
    package, python = "storjrpcudp==2.4", "2.7"
    module = "storjrpcudp"


class StorjRPCUDP24OnPython311Tests(PeerTests, TestCase):
    package, python = "storjrpcudp==2.4", "3.11"
    module = "storjrpcudp"


class RPCUDP501OnPython311Tests(PeerTests, TestCase):
    package, python = "rpcudp==5.0.1", "3.11"
    script = ASYNCIO


class OursTests(PeerTests, TestCase):
    """
    Ours on Python 3.11, for the same.
    """

    python = "3.11"

    @property
    def package(self):
        return environments.ours()
