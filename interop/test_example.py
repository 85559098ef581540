"""
Nodes of examples/kademlia.py and of kademlia 2.2.3 on asyncio are in one network.
"""

import json
import os

from twisted.internet import defer
from twisted.trial.unittest import TestCase

from interop import environments
from interop.values import ATOMS
from tests.support import BackgroundProcess

HERE = os.path.dirname(os.path.abspath(__file__))


class ExampleTests(object):
    """
    @cvar python: the interpreter of the example.
    """

    timeout = 300

    def setUp(self):
        ours = environments.python(self.python, [environments.ours()])
        theirs = environments.python("3.11", ["kademlia==2.2.3"])
        self.ours = [ours, os.path.join(HERE, "example_swarm.py")]
        self.theirs = [theirs, os.path.join(HERE, "asyncio_swarm.py")]

    @defer.inlineCallbacks
    def start(self, command, *arguments):
        """
        @return: a Deferred of the process, and of what it reports once it has set its keys.
        """
        process = BackgroundProcess(command + list(map(str, arguments)), environments.PROCESS_ENVIRONMENT)
        self.addCleanup(process.stop)
        report = json.loads((yield process.firstLine).decode("ascii"))
        self.assertTrue(report["copies"])
        defer.returnValue((process, report))

    @defer.inlineCallbacks
    def check(self, network, count, joiner, joining):
        """
        Each of C{count} nodes gets what C{joining} others have set, and each of these what those have set.

        @return: a Deferred of what both report, the network first.
        """
        inside, first = yield self.start(network, count)
        outside, second = yield self.start(joiner, joining, first["port"])
        for process, nodes in ((outside, joining), (inside, count)):
            process.transport.write(b"\n")
            self.assertEqual(int((yield process.lines.get())), nodes * len(ATOMS), process.errors)
            self.assertNotIn(b"Traceback", process.errors)
        defer.returnValue((first, second))

    @defer.inlineCallbacks
    def test_itJoinsFew(self):
        _, report = yield self.check(self.theirs, 5, self.ours, 1)
        # Each of the five says that it stores the value, and so does this.
        self.assertEqual(report["copies"], 6)

    @defer.inlineCallbacks
    def test_itJoinsMany(self):
        """
        Not all of them store each value.
        """
        _, report = yield self.check(self.theirs, 25, self.ours, 1)
        self.assertGreaterEqual(report["copies"], 20)

    @defer.inlineCallbacks
    def test_itIsJoined(self):
        report, _ = yield self.check(self.ours, 25, self.theirs, 1)
        self.assertGreaterEqual(report["copies"], 20)

    def test_halfAndHalf(self):
        return self.check(self.ours, 15, self.theirs, 15)


class ExampleOnPython27Tests(ExampleTests, TestCase):
    python = "2.7"


class ExampleOnPython311Tests(ExampleTests, TestCase):
    python = "3.11"
