"""
Kademlias written for the published packages run on ours: their own tests, and a swarm of each.
"""

import json
import os

from twisted.internet import defer
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from interop import environments
from tests.support import BackgroundProcess

HERE = os.path.dirname(os.path.abspath(__file__))


class KademliaTests(object):
    """
    @cvar python: the interpreter.
    @cvar distribution: what to install over ours.
    @cvar package: the import package of it.
    """

    timeout = 300

    def setUp(self):
        # On Python 3, ours does not bring future, which storjkademlia imports there too.
        self.interpreter = environments.python(
            self.python, [environments.ours(), "future"], ["--no-deps", self.distribution]
        )

    @defer.inlineCallbacks
    def test_itsOwnTests(self):
        output, errors, code = yield getProcessOutputAndValue(
            self.interpreter,
            ["-m", "twisted.trial", "--temp-directory", self.mktemp(), self.package],
            environments.PROCESS_ENVIRONMENT,
        )
        self.assertEqual(code, 0, output + errors)
        # Those of kademlia 0.6 and of storjkademlia 0.7.4 alike.
        self.assertIn(b"PASSED (successes=12)", output)

    @defer.inlineCallbacks
    def startSwarm(self):
        """
        @return: a Deferred of a swarm, and of a port in it, once every key in it was found.
        """
        command = [self.interpreter, os.path.join(HERE, "kademlia_swarm.py"), self.package]
        swarm = BackgroundProcess(command, environments.PROCESS_ENVIRONMENT)
        self.addCleanup(swarm.stop)
        report = json.loads((yield swarm.firstLine).decode("ascii"))
        self.assertEqual(report["found"], 60)
        self.assertNotIn(b"Traceback", swarm.errors)
        defer.returnValue((swarm, report["port"]))

    def test_swarm(self):
        return self.startSwarm()


class Kademlia06OnPython27Tests(KademliaTests, TestCase):
    distribution, package, python = "kademlia==0.6", "kademlia", "2.7"


class StorjKademlia074OnPython27Tests(KademliaTests, TestCase):
    distribution, package, python = "storjkademlia==0.7.4", "storjkademlia", "2.7"


class StorjKademlia074OnPython311Tests(KademliaTests, TestCase):
    distribution, package, python = "storjkademlia==0.7.4", "storjkademlia", "3.11"


class AsyncioTests(object):
    """
    The other network's package of storjkademlia, which kademlia 2.2.3 on asyncio understands.  (Kademlia 0.6 sends maps
    with bytes for keys from Python 2, and so cannot be understood by it.)
    """

    @defer.inlineCallbacks
    def test_asyncioNodeJoins(self):
        swarm, port = yield self.startSwarm()
        output, errors, code = yield getProcessOutputAndValue(
            environments.python("3.11", ["kademlia==2.2.3"]),
            [os.path.join(HERE, "asyncio_kademlia.py"), str(port)],
            environments.PROCESS_ENVIRONMENT,
        )
        self.assertEqual((output.strip(), code), (b"hello", 0), errors)
        stored = yield swarm.lines.get()
        self.assertEqual(stored.strip(), b"hello to you")


class Kademlia074OnPython27Tests(AsyncioTests, KademliaTests, TestCase):
    distribution, package, python = "storjkademlia==0.7.4", "kademlia", "2.7"


class Kademlia074OnPython311Tests(AsyncioTests, KademliaTests, TestCase):
    distribution, package, python = "storjkademlia==0.7.4", "kademlia", "3.11"
