"""
Kademlias written for the published packages run on ours: their own tests, and a swarm of each, over real UDP and on a
simulated network.
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


class SimulationTests(object):
    """
    What a L{KademliaTests} runs besides, on L{rpcudp.testing}.
    """

    @defer.inlineCallbacks
    def simulate(self, script, *arguments):
        """
        @return: a Deferred of what a script prints.
        """
        command = [os.path.join(HERE, script), self.package] + list(arguments)
        output, errors, code = yield getProcessOutputAndValue(
            self.interpreter, command, environments.PROCESS_ENVIRONMENT
        )
        self.assertEqual(code, 0, errors)
        self.assertNotIn(b"Traceback", errors)
        defer.returnValue(json.loads(output.decode("ascii")))

    @defer.inlineCallbacks
    def test_simulatedSwarm(self):
        first = yield self.simulate("simulated_swarm.py")
        again = yield self.simulate("simulated_swarm.py")
        self.assertEqual(first["found"], 60)
        # It comes to an end, and loses nothing on the way.
        self.assertEqual(first["late"], 0)
        self.assertEqual(first["counts"]["delivered"], first["counts"]["sent"])
        self.assertEqual(again, first)


class Kademlia06OnPython27Tests(KademliaTests, TestCase):
    distribution, package, python = "kademlia==0.6", "kademlia", "2.7"


class StorjKademlia074OnPython27Tests(SimulationTests, KademliaTests, TestCase):
    distribution, package, python = "storjkademlia==0.7.4", "storjkademlia", "2.7"

    @defer.inlineCallbacks
    def test_storm(self):
        """
        Where a bucket is full, it hands over keys without end, as docs/protocol.md says.
        """
        growth = {"0": [0] * 8, "1": [1] + [2] * 7, "2": [2] + [3 * 2**n for n in range(1, 8)]}
        for keys, stores in sorted(growth.items()):
            self.assertEqual((yield self.simulate("simulated_storm.py", keys)), stores)


class StorjKademlia074OnPython311Tests(SimulationTests, KademliaTests, TestCase):
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
