"""
The command calls the published packages, and they call what it serves.
"""

import json
import os

from twisted.internet import defer
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from interop import environments
from interop.test_peers import ASYNCIO, TWISTED
from interop.values import VALUES, pack, unpack
from tests.support import BackgroundProcess

HERE = os.path.dirname(os.path.abspath(__file__))

# Of the values, those that JSON has.
JSON = (bool, int, float, type(u""), type(None))
PLAIN = [unpack(payload) for _, payload in sorted(VALUES.items()) if isinstance(unpack(payload), JSON)]


class CommandTests(object):
    """
    @cvar package: what to install for the peer.
    @cvar network: what the command is told of it.
    """

    timeout = 300
    network = module = "rpcudp"
    script = TWISTED

    def setUp(self):
        self.theirs = environments.python(self.python, [self.package])
        self.commands = [
            os.path.join(os.path.dirname(environments.python(version, [environments.ours()])), "rpcudp")
            for version in ("2.7", "3.13")
        ]

    def runCommand(self, command, *words):
        """
        @return: a Deferred of the exit status, standard output and standard error of the installed command.
        """
        words = list(words) + ["--network", self.network] * (words[0] in ("call", "ping"))
        outcome = getProcessOutputAndValue(command, words, environments.PROCESS_ENVIRONMENT)
        return outcome.addCallback(lambda result: (result[2], result[0].decode("ascii"), result[1].decode("ascii")))

    @defer.inlineCallbacks
    def test_itCallsAndPingsThePeer(self):
        serving = BackgroundProcess([self.theirs, self.script, "serve", self.module], environments.PROCESS_ENVIRONMENT)
        self.addCleanup(serving.stop)
        port = yield serving.firstLine
        address = "127.0.0.1:" + port.decode("ascii")
        self.assertGreater(len(PLAIN), 15)
        for command in self.commands:
            argument = json.dumps(PLAIN)
            status, out, err = yield self.runCommand(command, "call", address, "echo", argument)
            self.assertEqual((status, json.loads(out), err), (0, PLAIN, ""))
            argument = "hex:00ff80"
            outcome = yield self.runCommand(command, "call", address, "echo", argument)
            self.assertEqual(outcome, (0, '"hex:00ff80"\n', ""))
            outcome = yield self.runCommand(command, "call", address, "fail", "--wait", "0.2")
            self.assertEqual(outcome[:2], (1, ""))
            self.assertIn("within 0.2 s", outcome[2])
            words = ["ping", address, "echo", "1", "--count", "3", "--interval", "0.1"]
            status, out, _ = yield self.runCommand(command, *words)
            self.assertEqual(status, 0)
            self.assertIn("\n3 sent, 3 answered, 0 lost\n", out)

    @defer.inlineCallbacks
    def test_itDecodesWhatIsPacked(self):
        payload = pack([u"m", PLAIN])
        kind = {"rpcudp": "00", "storj": "02"}[self.network]
        digits = kind + "11" * 20 + "".join("{:02x}".format(byte) for byte in bytearray(payload))
        for command in self.commands:
            _, out, _ = yield self.runCommand(command, "decode", digits)
            said = json.loads(out)
            self.assertEqual((said["network"], said["method"], said["arguments"]), (self.network, "m", PLAIN))

    @defer.inlineCallbacks
    def test_thePeerCallsWhatItServes(self):
        for command in self.commands:
            environment = dict(environments.PROCESS_ENVIRONMENT, PYTHONPATH=HERE)
            words = [command, "serve", "served:On" + self.network.capitalize(), "--interface", "127.0.0.1"]
            serving = BackgroundProcess(words, environment)
            self.addCleanup(serving.stop)
            line = yield serving.firstLine
            arguments = [self.script, "call", self.module, line.decode("ascii").rpartition(":")[2]]
            if self.script == ASYNCIO:
                arguments.remove(self.module)
            output, errors, code = yield getProcessOutputAndValue(
                self.theirs, arguments, environments.PROCESS_ENVIRONMENT
            )
            self.assertEqual(code, 0, errors)
            outcomes = json.loads(output.decode("ascii"))
            failed = {name for name, outcome in outcomes.items() if outcome in (False, [False, None])}
            self.assertEqual(failed, {"fail", "absent"})
            self.assertGreater(len(outcomes), 30)


class RPCUDP21OnPython27Tests(CommandTests, TestCase):
    package, python = "rpcudp==2.1", "2.7"


class StorjRPCUDP24OnPython311Tests(CommandTests, TestCase):
    package, python = "storjrpcudp==2.4", "3.11"
    network, module = "storj", "storjrpcudp"


class RPCUDP501OnPython311Tests(CommandTests, TestCase):
    package, python = "rpcudp==5.0.1", "3.11"
    script = ASYNCIO
