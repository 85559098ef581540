"""
example.py and README.md do what they say, and docs/protocol.md says what is.
"""

import os
import re
import shlex
import socket
import sys

from twisted.internet import defer
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rpcudp import wire
from rpcudp.protocol import RPCProtocol
from rpcudp.statistics import Statistics
from rpcudp.testing import SimulatedNetwork
from tests.support import ENVIRONMENT, MESSAGE_ID, BackgroundProcess, FakeTransport, ProcessTestCase, freePort

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXAMPLE = os.path.join(ROOT, "example.py")

# Prints what is at a URL.
FETCH = """
import sys
try:
    from urllib.request import urlopen
except ImportError:
    from urllib2 import urlopen
sys.stdout.write(urlopen(sys.argv[1], timeout=60).read().decode("ascii"))
"""

# A program of asyncio's on Twisted's reactor for it, as Python 2 cannot read it.
ASYNCIO = """
import asyncio
from twisted.internet import asyncioreactor
loop = asyncio.new_event_loop()
asyncioreactor.install(loop)
from twisted.internet import defer, reactor
from rpcudp.protocol import RPCProtocol

class Node(RPCProtocol):
    def rpc_future(self, sender):
        return loop.create_task(asyncio.sleep(0.01, "future"))

    async def rpc_coroutine(self, sender):
        return await defer.Deferred.fromFuture(asyncio.ensure_future(asyncio.sleep(0.01, "coroutine")))

async def main():
    node = Node()
    address = ("127.0.0.1", reactor.listenUDP(0, node, interface="127.0.0.1").getHost().port)
    outcomes = [await node.future(address).asFuture(asyncio.get_running_loop())]
    outcomes.append(await node.coroutine(address).asFuture(asyncio.get_running_loop()))
    print((all(answered for answered, _ in outcomes), [result for _, result in outcomes]))
    try:
        await node.future(address)
    except RuntimeError as error:
        print(type(error).__name__)
    await node.transport.stopListening().asFuture(loop)
    reactor.stop()

task = loop.create_task(main())
reactor.run()
task.result()
"""


def readmePrograms():
    """
    @return: the programs in README.md, by file name.
    """
    with open(os.path.join(ROOT, "README.md")) as readme:
        blocks = re.findall("```python\n(# (\\S+)\n.*?)```", readme.read(), re.DOTALL)
    return {name: program for program, name in blocks}


class ExampleTests(ProcessTestCase):
    @defer.inlineCallbacks
    def test_wholeStoryInOneProcess(self):
        outcome = yield self.runPython(EXAMPLE)
        self.assertEqual(outcome, (u"Hello Snake Plissken you live at 127.0.0.1:5678\n", u"", 0))

    @defer.inlineCallbacks
    def test_halvesInTwoTerminals(self):
        port = str(freePort())
        yield self.serve(EXAMPLE, "server", port)
        for host in ("127.0.0.1", "localhost"):
            outcome = yield self.runPython(EXAMPLE, "client", "{}:{}".format(host, port))
            self.assertEqual(outcome, (u"Hello Snake Plissken you live at 127.0.0.1:5678\n", u"", 0))

    @defer.inlineCallbacks
    def test_portTaken(self):
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(taken.close)
        taken.bind(("", 0))
        port = taken.getsockname()[1]
        outcome = yield self.runPython(EXAMPLE, "server", str(port))
        self.assertPlainFailure(outcome, "^Port {} cannot be listened on: .*in use$".format(port))

    @defer.inlineCallbacks
    def test_noAnswer(self):
        port = freePort()
        program = "import sys; sys.path.append({!r}); import example; example.WAIT = 0.1; example.main(sys.argv[1:])"
        outcome = yield self.runPython("-c", program.format(ROOT), "client", "127.0.0.1:{}".format(port))
        self.assertPlainFailure(outcome, "^No answer came from 127.0.0.1:{} within 0.1 seconds.$".format(port))

    @defer.inlineCallbacks
    def test_wrongArguments(self):
        for arguments, sentence in (
            (["server", "port"], "^A port is a number from 1 to 65535, and 'port' is not.$"),
            (["server", "65536"], "^A port is a number from 1 to 65535, and '65536' is not.$"),
            (["client", "127.0.0.1"], "^A port is a number"),
            (["client", "host.invalid:1"], "^There is no host called host.invalid.$"),
            (["nonsense"], "^RPC over UDP in one file"),
            (["server", "1", "2"], "^RPC over UDP in one file"),
        ):
            outcome = yield self.runPython(EXAMPLE, *arguments)
            self.assertPlainFailure(outcome, sentence)


class Pulled(RPCProtocol):
    def rpc_pull(self, sender):
        return u"pull"

    rpc_push = rpc_pull


class ReadmeTests(ProcessTestCase):
    def write(self, name, port):
        """
        @return: the path of a program from README.md, which is as printed but for the server's port.
        """
        path = os.path.join(self.mktemp(), name)
        os.mkdir(os.path.dirname(path))
        with open(path, "w") as file:
            file.write(readmePrograms()[name].replace("1234", str(port)))
        return path

    def test_allItsProgramsAreTested(self):
        self.assertEqual(set(readmePrograms()), {"server.py", "client.py", "metrics.py", "test_greeting.py"})

    @defer.inlineCallbacks
    def test_serverAndClient(self):
        port = freePort()
        yield self.serve(self.write("server.py", port))
        out, err, code = yield self.runPython(self.write("client.py", port))
        self.assertRegex(out, "^Hello Snake Plissken you live at 127.0.0.1:[0-9]+\n$")
        self.assertEqual((err, code), (u"", 0))

    @defer.inlineCallbacks
    def test_commands(self):
        with open(os.path.join(ROOT, "README.md")) as readme:
            commands = re.findall("^rpcudp (.*)$", readme.read(), re.MULTILINE)
        self.assertEqual([command.split()[0] for command in commands], ["serve", "call", "ping", "decode", "decode"])
        port = freePort()
        folder = os.path.dirname(self.write("server.py", port))
        network = SimulatedNetwork(trace=True)
        nodes = Pulled(), Pulled()
        for number, node in enumerate(nodes):
            network.host("10.0.0.{}".format(number)).listenUDP(1234, node)
        network.run(nodes[0].pull(("10.0.0.1", 1234)))
        network.capture(os.path.join(folder, "node.pcap"))
        commands = [["-m", "rpcudp"] + shlex.split(command.replace("1234", str(port))) for command in commands]
        server = BackgroundProcess([sys.executable] + commands[0], ENVIRONMENT, folder)
        self.addCleanup(server.stop)
        line = yield server.firstLine
        self.assertEqual(line.decode("ascii"), "server:Server listens on 0.0.0.0:{}".format(port))
        for command, expected in zip(
            commands[1:],
            [
                u'^"Hello Snake Plissken you live at 127.0.0.1:[0-9]+"\n$',
                u"\n3 sent, 3 answered, 0 lost\nround-trip time: ",
                u'^{"network": "rpcudp", .*"method": "sayhi", "arguments": \\["Snake"\\]}\n$',
                u"> 10.0.0.1:1234 pull answered in 50.000 ms, 1 copy, id [0-9a-f]{40}\n$",
            ],
        ):
            out, err, code = yield self.runPython(*command, path=folder)
            self.assertRegex(out, expected)
            self.assertEqual((err, code), (u"", 0))

    @defer.inlineCallbacks
    def test_testOnASimulatedNetwork(self):
        path = self.write("test_greeting.py", 1234)
        os.rename(self.write("server.py", 1234), os.path.join(os.path.dirname(path), "server.py"))
        # As README.md says, in their folder and by its name.
        out, _, code = yield self.runPython("-m", "twisted.trial", "test_greeting", path=os.path.dirname(path))
        self.assertIn(u"PASSED (successes=1)", out)
        self.assertEqual(code, 0)

    @defer.inlineCallbacks
    def test_metrics(self):
        try:
            import prometheus_client  # noqa: F401, it is the program's
            import twisted.web.server  # noqa: F401
        except ImportError as error:
            raise SkipTest("README.md's metrics.py cannot run: {}".format(error))
        port, webPort = freePort(), freePort()
        path = self.write("metrics.py", port)
        with open(path) as file:
            program = file.read().replace("9234", str(webPort))
        with open(path, "w") as file:
            file.write(program)
        os.rename(self.write("server.py", port), os.path.join(os.path.dirname(path), "server.py"))
        # As README.md says, in their folder.
        yield self.serve(path)
        yield self.runPython(self.write("client.py", port))
        out, err, code = yield self.runPython("-c", FETCH, "http://127.0.0.1:{}".format(webPort))
        self.assertEqual((err, code), (u"", 0))
        samples = dict(line.split(u" ") for line in out.splitlines() if not line.startswith(u"#"))
        self.assertEqual(len(samples), len(Statistics._fields))
        self.assertEqual(samples[u"rpcudp_served_total"], u"1.0")
        self.assertEqual(samples[u"rpcudp_remembered"], u"1.0")
        self.assertEqual(samples[u"rpcudp_inFlight"], u"0.0")

    def test_rule(self):
        with open(os.path.join(ROOT, "README.md")) as readme:
            [program] = re.findall("```python\n(def .*?)```", readme.read(), re.DOTALL)
        names = {"wire": wire}
        exec(program, names)
        network = SimulatedNetwork()
        clients = RPCProtocol(), Pulled()
        for number, client in enumerate(clients):
            network.host("10.0.0.{}".format(number)).listenUDP(1234, client)
        remove = network.rule(names["losePulls"])
        calls = [(u"pull", False), (u"push", True), (u"pull", True)]
        for method, isAnswered in calls:
            outcome = network.run(getattr(clients[0], method)(("10.0.0.1", 1234)))
            self.assertEqual(outcome, (isAnswered, u"pull" if isAnswered else None))
            if method == u"push":
                remove()
        self.assertEqual(network.counts.ruled, 1)

    def test_itSaysHowToRunItsTest(self):
        with open(os.path.join(ROOT, "README.md")) as readme:
            self.assertIn("`python -m twisted.trial test_greeting`", readme.read())

    @defer.inlineCallbacks
    def test_logObserver(self):
        with open(os.path.join(ROOT, "README.md")) as readme:
            [call] = re.findall("`twisted[.]logger[.](globalLogBeginner.*?)`", readme.read())
        program = (
            "import sys, twisted.logger\nfrom rpcudp.protocol import RPCProtocol\nfrom twisted.logger import *\n"
            "{}\nnode = RPCProtocol()\nnode.noisy = True\nnode.datagramReceived(b'', ('192.0.2.1', 1))\n"
        )
        _, err, code = yield self.runPython("-c", program.format(call))
        self.assertIn(u"dropped a datagram of ('192.0.2.1', 1)", err)
        self.assertEqual(code, 0)

    @defer.inlineCallbacks
    def test_asyncio(self):
        if sys.version_info < (3,) or not hasattr(defer.Deferred, "asFuture"):
            raise SkipTest("this Twisted has no asFuture, or this Python no coroutines")
        out, err, code = yield self.runPython("-c", ASYNCIO)
        self.assertEqual((out, err, code), (u"(True, ['future', 'coroutine'])\nRuntimeError\n", u"", 0))

    def test_addTimeout(self):
        clock = Clock()
        client = RPCProtocol(reactor=clock)
        client.makeConnection(FakeTransport())
        call = client.ping(("192.0.2.1", 1234))
        if not hasattr(call, "addTimeout"):
            raise SkipTest("this Twisted has no addTimeout")
        call.addTimeout(1, clock)
        clock.advance(1)
        self.failureResultOf(call, defer.TimeoutError)
        self.assertEqual(client._outstanding, {})


class ProtocolDocumentTests(SynchronousTestCase):
    def setUp(self):
        with open(os.path.join(ROOT, "docs", "protocol.md")) as document:
            self.text = document.read()

    def test_itsDatagramsAreTheOnesThatWeSend(self):
        annotated = re.findall("```datagram\n(.*?)```", self.text, re.DOTALL)
        datagrams = [
            bytes(bytearray.fromhex("".join(re.match("(?:[0-9a-f]{2} )+", line).group() for line in text.splitlines())))
            for text in annotated
        ]
        nodes = [[b"\x01" * 20, u"127.0.0.1", 8469], [b"\x02" * 20, u"127.0.0.2", 8470]]
        self.assertEqual(
            datagrams,
            [
                wire.encode(wire.RPCUDP.request, MESSAGE_ID, [u"sayhi", [u"Snake Plissken"]]),
                wire.encode(wire.RPCUDP.response, MESSAGE_ID, u"Hello Snake Plissken"),
                wire.encode(wire.STORJ.response, MESSAGE_ID, nodes),
            ],
        )

    def test_itNamesTestsThatAreThere(self):
        names = re.findall("`interop[.](\\w+)[.](\\w+)`", self.text)
        self.assertEqual(len(names), 14)
        for module, name in names:
            with open(os.path.join(ROOT, "interop", module + ".py")) as source:
                self.assertIn("\nclass {}(".format(name), source.read())
