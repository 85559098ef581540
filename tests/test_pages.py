"""
Every code block of README.md and of the pages in docs/ is run, in the order in which they stand, page by page, in a
folder of its own, which has the programs of docs/start.md, and examples/ and wireshark/.

What a block is depends on its language:

  - C{python} that begins with a comment like C{# server.py} is a program, which is saved under that name.  Otherwise
    it is a part of one of the examples, to the letter; these have tests of their own.
  - C{pycon} is a dialogue with Python, as L{doctest} knows it.  All those of a page are one.
  - C{console} is what is typed into a terminal after C{$ }, and what is seen there.  What does not end by itself goes
    on until the end of the page.
  - C{sh} and C{datagram} are for other tests: see L{ELSEWHERE}.

In what is expected, C{...} and C{[...]} stand for any text.  Ports, times and message ids may differ.  A comment in
HTML hides a block from readers.
"""

import doctest
import glob
import importlib
import io
import os
import re
import shutil
import sys

from twisted.internet import defer
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest

from tests.support import ANNOUNCE, ENVIRONMENT, BackgroundProcess, ProcessTestCase, freePort

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCS = os.path.join(ROOT, "docs")
PAGES = [os.path.join(ROOT, "README.md")] + sorted(
    path for folder in ("", "*") for path in glob.glob(os.path.join(DOCS, folder, "*.md"))
)

# Imported now, as trial changes the current folder, and the path to them may be relative on Python 2.
PUBLIC = [
    importlib.import_module("rpcudp." + name)
    for name in ("calls", "exceptions", "protocol", "roundtrip", "statistics", "testing", "wire")
]

BLOCK = re.compile("^```(\\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# Commands that go on until they are stopped.
SERVERS = ("rpcudp serve ", "python server.py", "python metrics.py", "python examples/cores.py")

# Replaced by ports that are free.
PORTS = ("1234", "5678", "9234")

# What differs from one time to the next.
VARYING = [
    ("127\\.0\\.0\\.1:[0-9]+", "127.0.0.1:PORT"),
    # What ping measures, and the lines that -v prints.
    ("(?m)(^[0-9]+:|minimum|median|maximum) [0-9]+\\.[0-9]{3} ms", "\\1 TIME ms"),
    ("(?m)^[0-9]+\\.[0-9]{3} ([<>].*\"id\": \")[0-9a-f]{40}", "TIME \\1ID"),
    ('"process [0-9]+"', "PROCESS"),
    ("[0-9-]{10}T[0-9:]{8}[+]0000", "TIME"),
    # Of tshark, where root runs it.
    ("(?m)^Running as user .*\\n", ""),
    # Of versions of Python: what a parser of JSON says.
    ("no JSON: .*", "no JSON"),
]
if sys.version_info < (3,):
    # It shows text and bytes otherwise, and exceptions without their modules.
    VARYING += [("\\b[bu](?=['\"])", ""), ("(?m)^(\\s*)[a-z.]+[.](?=[A-Z]\\w+: )", "\\1")]

# What pages and commands need that not every environment has.
NEEDS = {
    "asyncio.md": "from twisted.internet import asyncioreactor, defer; defer.Deferred.asFuture",
    "python node.py": "async def function(): pass",
    "python calculator.py": "tuple[str, int]",
    "python fast.py": "import uvloop",
    "python metrics.py": "import prometheus_client, twisted.web.server",
    "tshark ": "from twisted.python.procutils import which; which('tshark')[0]",
}

# Languages of blocks that other tests run: .ci/run the two commands, and tests.test_documents the datagrams.
ELSEWHERE = {"README.md": ["sh"], "protocol.md": ["datagram"]}


def read(path):
    with io.open(path, encoding="utf-8") as file:
        return file.read()


def programs(text):
    """
    @return: the programs on a page, by name.
    """
    found = {}
    for language, block in BLOCK.findall(text):
        name = re.match("# (\\S+[.]py)\n", block)
        if language == "python" and name:
            found[name.group(1)] = block
    return found


def matches(expected, got):
    """
    @return: whether what was seen is what stands on the page.
    """
    for pattern, word in VARYING:
        expected, got = re.sub(pattern, word, expected), re.sub(pattern, word, got)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected.replace("[...]", "..."), got, flags)


class Checker(doctest.OutputChecker):
    def check_output(self, want, got, optionflags):
        return matches(want, got)


class PageTests(ProcessTestCase):
    timeout = 120

    def setUp(self):
        if not os.path.exists("/bin/sh"):
            raise SkipTest("the pages are for a shell of POSIX")
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        self.examples = [read(path) for path in glob.glob(os.path.join(ROOT, "examples", "*.py"))]
        for name in ("examples", "wireshark"):
            shutil.copytree(os.path.join(ROOT, name), os.path.join(self.folder, name))
        self.ports = {port: str(freePort()) for port in PORTS}
        for name, program in programs(read(os.path.join(DOCS, "start.md"))).items():
            self.save(name, program)
        bin = os.path.join(self.folder, "bin")
        os.mkdir(bin)
        for name, arguments in [("python", ""), ("rpcudp", "-m rpcudp")]:
            self.save("bin/" + name, u'#!/bin/sh\nexec "{}" {} "$@"\n'.format(sys.executable, arguments))
            os.chmod(os.path.join(bin, name), 0o755)
        self.environment = dict(ENVIRONMENT, PATH=bin + os.pathsep + os.environ["PATH"], HOME=self.folder)
        self.names = {}

    def save(self, name, text):
        with io.open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def own(self, text):
        """
        @return: C{text} with ports that are free.
        """
        for port, free in self.ports.items():
            text = re.sub("\\b{}\\b".format(port), free, text)
        return text

    def lacks(self, name):
        """
        @return: whether something is missing that the page or command needs.  Then the test is skipped in the end.
        """
        for beginning, program in NEEDS.items():
            if name.startswith(beginning):
                try:
                    exec(program, {})
                except (AttributeError, ImportError, IndexError, SyntaxError, TypeError) as error:
                    self.missing.append("{}: {}".format(beginning, error))
                    return True
        return False

    @defer.inlineCallbacks
    def runPage(self, path):
        self.missing = []
        text = read(path)
        blocks = BLOCK.findall(text)
        fences = re.findall("(?m)^ *(?:```|~~~)", text)
        directives = re.findall("(?m)^```[{](?:include|toctree)[}]", text)
        self.assertEqual(len(fences), 2 * (len(blocks) + len(directives)), "there are blocks of no known kind")
        commands = " ".join(block for language, block in blocks if language == "console")
        found = programs(text)
        for name in found:
            isImported = "from {} import".format(name[:-3]) in "".join(found.values())
            isRun = re.search("\\b{}\\b".format(name[:-3]), commands)
            self.assertTrue(isImported or isRun, "{} is not run".format(name))
        if not self.lacks(os.path.basename(path)):
            for language, block in blocks:
                if language not in ELSEWHERE.get(os.path.basename(path), ()):
                    yield getattr(self, "run_" + language)(self.own(block))
        if self.missing:
            raise SkipTest("; ".join(self.missing))

    def run_python(self, block):
        name = re.match("# (\\S+[.]py)\n", block)
        if name:
            self.save(name.group(1), block)
        else:
            self.assertNotEqual(block.strip(), "")
            self.assertTrue(any(block in self.own(example) for example in self.examples), block)

    def run_pycon(self, block):
        self.assertTrue(block.startswith(">>> "), block)
        test = doctest.DocTestParser().get_doctest(block, self.names, self.id(), None, 0)
        report = io.StringIO() if sys.version_info >= (3,) else io.BytesIO()
        doctest.DocTestRunner(Checker()).run(test, out=report.write, clear_globs=False)
        self.assertEqual(report.getvalue(), "")
        self.names = test.globs

    @defer.inlineCallbacks
    def run_console(self, block):
        self.assertTrue(block.startswith("$ "), block)
        for command, _, expected in (part.partition("\n") for part in block.split("$ ")[1:]):
            if self.lacks(command):
                continue
            if command.startswith(SERVERS):
                yield self.serveCommand(command, expected)
            else:
                arguments = ["-c", "exec 2>&1; " + command]
                out, _, code = yield getProcessOutputAndValue("/bin/sh", arguments, self.environment, self.folder)
                out = out.decode("utf-8")
                text = u"{}\n{}\nand not\n{}".format(command, out, expected)
                self.assertTrue(matches(expected, out), text.encode("ascii", "replace").decode("ascii"))
                # What a page calls absent is, and the command says so.
                self.assertEqual(code, int(" absent " in command), command)

    @defer.inlineCallbacks
    def serveCommand(self, command, expected):
        words = command.split()
        if not expected:
            # It is silent, so it has to be told to say when it runs.
            words[1:1] = ["-c", ANNOUNCE]
        words[0] = os.path.join(self.folder, "bin", words[0])
        server = BackgroundProcess(words, self.environment, self.folder)
        self.addCleanup(server.stop)
        line = yield server.firstLine
        self.assertTrue(matches(expected or "running", line.decode("utf-8")), line)


def _test(path):
    return lambda self: self.runPage(path)


for _path in PAGES:
    _name = "test_" + os.path.splitext(os.path.relpath(_path, ROOT))[0].replace(os.sep, "_")
    setattr(PageTests, _name, _test(_path))
