"""
example.py does what it says, and the documentation says what is.  L{tests.test_pages} runs its code blocks.
"""

import glob
import inspect
import os
import re
import sys
import tempfile

from twisted.internet import defer
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rpcudp import wire
from rpcudp.protocol import RPCProtocol
from rpcudp.statistics import Statistics
from tests.support import MESSAGE_ID, FakeTransport, ProcessTestCase, freePort
from tests.test_pages import DOCS, PAGES, PUBLIC, ROOT, programs, read
from tests.test_types import FOLDERS

EXAMPLE = os.path.join(ROOT, "example.py")

# Of RPCProtocol, for subclasses.
HOOKS = ("_acceptRequest", "_acceptResponse", "_sendResponse", "_timeout")

# Prints what is at a URL.
FETCH = """
import sys
try:
    from urllib.request import urlopen
except ImportError:
    from urllib2 import urlopen
sys.stdout.write(urlopen(sys.argv[1], timeout=60).read().decode("ascii"))
"""

# What fails in coroutines that await what the other loop runs, as Python 2 cannot read it.
ASYNCIO = """
import asyncio
from twisted.internet import asyncioreactor
loop = asyncio.new_event_loop()
asyncioreactor.install(loop)
from twisted.internet import defer, reactor, task
from rpcudp.protocol import RPCProtocol

async def ofAsyncio():
    node = RPCProtocol(waitTimeout=0.01)
    await node.ping(("127.0.0.1", reactor.listenUDP(0, node, interface="127.0.0.1").getHost().port))

async def ofTwisted():
    await loop.create_future()

async def main():
    for awaitable in (loop.create_task(ofAsyncio()), defer.ensureDeferred(ofTwisted()).asFuture(loop)):
        try:
            await awaitable
        except RuntimeError as error:
            print(str(error).partition(":")[0])

task.react(lambda reactor: defer.Deferred.fromFuture(loop.create_task(main())))
"""


class ExampleTests(ProcessTestCase):
    @defer.inlineCallbacks
    def test_wholeStoryInOneProcess(self):
        # Its ports are always the same, and other environments may be testing it at this time.
        lock = defer.DeferredFilesystemLock(os.path.join(tempfile.gettempdir(), "rpcudp-example"))
        yield lock.deferUntilLocked(timeout=self.timeout)
        self.addCleanup(lock.unlock)
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
        port = self.takePort()
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


class GuideTests(ProcessTestCase):
    """
    What pages of the guide say besides their code blocks.
    """

    @defer.inlineCallbacks
    def test_metrics(self):
        try:
            import prometheus_client  # noqa: F401, it is the program's
            import twisted.web.server  # noqa: F401
        except ImportError as error:
            raise SkipTest("metrics.py cannot run: {}".format(error))
        port, webPort = str(freePort()), str(freePort())
        folder = self.mktemp()
        os.mkdir(folder)
        for page in ("start.md", "guide/statistics.md"):
            for name, program in programs(read(os.path.join(DOCS, page))).items():
                with open(os.path.join(folder, name), "w") as file:
                    file.write(program.replace("1234", port).replace("9234", webPort))
        yield self.serve(os.path.join(folder, "metrics.py"))
        yield self.runPython(os.path.join(folder, "client.py"))
        out, err, code = yield self.runPython("-c", FETCH, "http://127.0.0.1:{}".format(webPort))
        self.assertEqual((err, code), (u"", 0))
        samples = dict(line.split(u" ") for line in out.splitlines() if not line.startswith(u"#"))
        self.assertEqual(len(samples), len(Statistics._fields))
        self.assertEqual(samples[u"rpcudp_served_total"], u"1.0")
        self.assertEqual(samples[u"rpcudp_remembered"], u"1.0")
        self.assertEqual(samples[u"rpcudp_inFlight"], u"0.0")

    @defer.inlineCallbacks
    def test_asyncio(self):
        if sys.version_info < (3,) or not hasattr(defer.Deferred, "asFuture"):
            raise SkipTest("this Twisted has no asFuture, or this Python no coroutines")
        out, err, code = yield self.runPython("-c", ASYNCIO)
        self.assertEqual((out, err, code), (u"Task got bad yield\nawait wasn't used with future\n", u"", 0))

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


class LinkTests(SynchronousTestCase):
    """
    Links between files.
    """

    def read(self, path):
        """
        @return: the text, and where it includes another file, also that.
        """
        text = read(path)
        for name in re.findall("```[{]include[}] (\\S+)\n", text):
            text += read(os.path.join(os.path.dirname(path), name))
        return text

    def anchors(self, path):
        """
        @return: the headings, as links to them spell them.
        """
        headings = re.findall("(?m)^#+ (.*)$", self.read(path))
        return [re.sub("[^\\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]

    def test_theyLeadSomewhere(self):
        documents = PAGES + glob.glob(os.path.join(ROOT, "[A-Z]*.md")) + [os.path.join(ROOT, "benchmarks", "README.md")]
        broken, count = [], 0
        for document in documents:
            for link in re.findall("\\]\\(([^)]+)\\)", read(document)):
                if link.startswith("http"):
                    continue
                count += 1
                name, _, anchor = link.partition("#")
                path = os.path.normpath(os.path.join(os.path.dirname(document), name)) if name else document
                isThere = os.path.exists(path) and (not anchor or anchor in self.anchors(path))
                if not isThere:
                    broken.append("{}: {}".format(os.path.relpath(document, ROOT), link))
        self.assertEqual(broken, [])
        self.assertGreater(count, 50)


class ContributingTests(SynchronousTestCase):
    def setUp(self):
        self.text = read(os.path.join(ROOT, "CONTRIBUTING.md"))

    def test_itNamesEnvironmentsThatAreThere(self):
        settings = read(os.path.join(ROOT, "tox.ini"))
        environments = {name for names in re.findall("tox -e ([\\w,-]+)", self.text) for name in names.split(",")}
        self.assertIn("fuzz", environments)
        for name in environments - {"py313", "py313-fast"}:
            self.assertRegex(settings, "(?m)^\\[testenv:{}[\\]{{]".format(name))

    def test_itNamesTestsThatAreThere(self):
        names = set(re.findall("twisted.trial (tests[.][\\w.]+)", self.text))
        self.assertEqual(len(names), 2)
        for name in names:
            _, module, rest = (name + ".").split(".", 2)
            source = read(os.path.join(ROOT, "tests", module + ".py"))
            self.assertIn("class " + rest.rstrip("."), source)

    def test_itNamesModulesThatAreThere(self):
        names = set(re.findall("`(?:rpcudp/)?(\\w+[.]py)`", self.text))
        self.assertGreater(len(names), 20)
        self.assertEqual(names - set(os.listdir(FOLDERS[0])), set())

    if not hasattr(SynchronousTestCase, "assertRegex"):
        # Python 2.7's name of it.
        assertRegex = SynchronousTestCase.assertRegexpMatches


class ReferenceTests(SynchronousTestCase):
    """
    The docstrings of public names, from which the reference is made.
    """

    def documented(self):
        """
        @return: the public classes and functions, and the methods of the classes, with their names.
        """
        for module in PUBLIC:
            for name, thing in sorted(vars(module).items()):
                isDefinedHere = getattr(thing, "__module__", None) == module.__name__ and not name.startswith("_")
                if name in getattr(module, "__all__", [name] if isDefinedHere else []):
                    yield "{}.{}".format(module.__name__, name), thing
                    for method in sorted(vars(thing)) if inspect.isclass(thing) else ():
                        function = getattr(thing, method)
                        if inspect.isroutine(function) and (method in HOOKS or not method.startswith("_")):
                            yield "{}.{}.{}".format(module.__name__, name, method), function

    def test_everyPublicNameHasADocstring(self):
        names = [name for name, thing in self.documented()]
        self.assertIn("rpcudp.protocol.RPCProtocol._sendResponse", names)
        self.assertIn("rpcudp.testing.Host.listenUDP", names)
        self.assertEqual([name for name, thing in self.documented() if not thing.__doc__], [])

    def test_everyParameterHasItsType(self):
        missing, count = [], 0
        for name, thing in self.documented():
            # A network makes its hosts.
            isMadeByUsers = inspect.isclass(thing) and name != "rpcudp.testing.Host"
            function = thing.__init__ if isMadeByUsers else thing
            code = getattr(function, "__code__", None)
            for parameter in code.co_varnames[: code.co_argcount] if code else ():
                count += 1
                if parameter != "self" and "@type {}: ".format(parameter) not in function.__doc__:
                    missing.append("{}: {}".format(name, parameter))
        self.assertEqual(missing, [])
        self.assertGreater(count, 50)
