"""
The command: what it is given, what it prints, and how it ends.
"""

import argparse
import errno
import io
import json
import os
import re
import signal
import socket
import sys

from twisted.internet import defer, reactor, task
from twisted.internet.error import CannotListenError, ReactorNotRestartable
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import globalLogBeginner
from twisted.python.reflect import requireModule
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rpcudp import __main__ as command
from rpcudp import _commands, version
from rpcudp._text import UsedWrongly
from rpcudp.protocol import RPCProtocol
from rpcudp.testing import SimulatedNetwork
from storjrpcudp.protocol import RPCProtocol as StorjRPCProtocol
from tests.support import ENVIRONMENT, ProcessTestCase, captureOutput

REQUEST = "00" + "00010203040506070809" + "0a0b0c0d0e0f10111213" + "92a5736179686991a5536e616b65"
PEER = ("10.0.0.2", 1234)


# A node on Twisted's reactor for asyncio.
ASYNCIO = """
import asyncio
from twisted.internet import asyncioreactor
asyncioreactor.install(asyncio.new_event_loop())
from twisted.internet import reactor
from rpcudp.protocol import RPCProtocol

class Node(RPCProtocol):
    def rpc_nap(self, sender):
        return reactor._asyncioEventloop.create_task(asyncio.sleep(0.01, "awake"))
"""


class Node(RPCProtocol):
    def __init__(self):
        RPCProtocol.__init__(self)
        self.called = []

    def rpc_echo(self, sender, *arguments):
        self.called.append(arguments)
        return list(arguments)


class Storj(StorjRPCProtocol):
    def rpc_echo(self, sender, *arguments):
        return list(arguments)


class Failing(RPCProtocol):
    def __init__(self):
        raise ValueError("no good")


class Unstartable(RPCProtocol):
    def startProtocol(self):
        raise ValueError("not now")


class Ending(RPCProtocol):
    def startProtocol(self):
        sys.exit(7)


class Unspeakable(RPCProtocol):
    def __init__(self):
        raise Speechless()


class Speechless(Exception):
    def __str__(self):
        raise ValueError("no words")


class Foreign(RPCProtocol):
    def __init__(self):
        raise ValueError(u"\xe9\x1b[31m\nx")


# What print writes on Python 2 is bytes.
Output = io.StringIO if sys.version_info >= (3,) else io.BytesIO


class Terminal(Output):
    def isatty(self):
        return True


def givenOptions(**given):
    """
    @return: options as the command passes them on.
    """
    options = {"wait": [5.0], "network": "rpcudp", "bind": None, "count": None, "interval": 1.0, "isVerbose": False}
    options.update({"port": 0, "interface": ""}, **given)
    return argparse.Namespace(**options)


class MainTestCase(SynchronousTestCase):
    def main(self, *words, **files):
        """
        @return: the exit status, standard output and standard error.
        """
        self.patch(sys, "argv", ["rpcudp"] + list(words))
        data = io.BytesIO(files.get("stdin", b""))
        self.patch(sys, "stdin", io.TextIOWrapper(data) if sys.version_info >= (3,) else data)
        # It is not to be that of the tests.
        self.patch(signal, "signal", lambda number, handler: None)

        def run():
            try:
                return command.main()
            except SystemExit as ended:
                return ended.code

        return captureOutput(self, run)

    def assertUsedWrongly(self, sentence, *words, **files):
        status, out, err = self.main(*words, **files)
        self.assertEqual((status, out), (2, ""))
        self.assertEqual(err, sentence + "\n")


class BadInputTests(MainTestCase):
    """
    Each gets its sentence, and status 2.
    """

    def test_addresses(self):
        for address, reason in [
            ("127.0.0.1", '"127.0.0.1" has no port: it is HOST:PORT'),
            ("127.0.0.1:0", '"0" is no port, which is a number from 1 to 65535'),
            ("127.0.0.1:65536", '"65536" is no port, which is a number from 1 to 65535'),
            ("127.0.0.1:" + "9" * 30, '"' + "9" * 30 + '" is no port, which is a number from 1 to 65535'),
            ("127.0.0.1:http", '"127.0.0.1:http" is no HOST:PORT; an IPv6 address is in brackets, as [::1]:1234'),
            ("::1:1234", '"::1:1234" is no HOST:PORT; an IPv6 address is in brackets, as [::1]:1234'),
            (":1234", '":1234" is no HOST:PORT; an IPv6 address is in brackets, as [::1]:1234'),
        ]:
            for name in ("call", "ping"):
                self.assertUsedWrongly("rpcudp {}: {}.".format(name, reason), name, address, "echo")

    def test_namesThatDoNotResolve(self):
        for name in ("host.invalid", "a..b", "x" * 70, "a b"):
            status, out, err = self.main("call", name + ":1234", "echo")
            self.assertEqual((status, out), (2, ""))
            self.assertTrue(err.startswith('rpcudp call: "{}'.format(name[:60])), err)
            self.assertIn("cannot be resolved: ", err)
            self.assertEqual(len(err.splitlines()), 1)

    def test_arguments(self):
        self.assertUsedWrongly("rpcudp call: it takes HOST:PORT METHOD [ARGUMENT ...].", "call", "127.0.0.1:1")
        sentence = 'rpcudp call: "123" has an odd number of hexadecimal digits, 3, and two make a byte.'
        self.assertUsedWrongly(sentence, "call", "127.0.0.1:1", "m", "hex:123")
        self.assertUsedWrongly('rpcudp call: "0x" is not hexadecimal.', "call", "127.0.0.1:1", "m", "hex:0x")
        for word in ("--nope", "-.5", "-x"):
            sentence = 'rpcudp ping: there is no option "{}"; to pass it as an argument, put -- before it.'.format(word)
            self.assertUsedWrongly(sentence, "ping", "127.0.0.1:1", "m", word)

    def test_files(self):
        path = self.mktemp()
        self.assertUsedWrongly(
            'rpcudp call: "{}" cannot be read: No such file or directory.'.format(path),
            "call",
            "127.0.0.1:1",
            "m",
            "@" + path,
        )
        for data, reason in [
            (b"\xff", "is not text in UTF-8; what is not can be given as hex:"),
            (b" " * ((1 << 20) + 1), "is longer than 1048576 bytes"),
        ]:
            with open(path, "wb") as file:
                file.write(data)
            sentence = 'rpcudp call: "{}" {}.'.format(path, reason)
            self.assertUsedWrongly(sentence, "call", "127.0.0.1:1", "m", "@" + path)
            sentence = 'rpcudp call: "-" {}.'.format(reason)
            self.assertUsedWrongly(sentence, "call", "127.0.0.1:1", "m", "@-", stdin=data)
        sentence = "rpcudp call: standard input can be one argument, and not 2."
        self.assertUsedWrongly(sentence, "call", "127.0.0.1:1", "m", "@-", "@-")

    def test_options(self):
        for name, value, reason in [
            ("--wait", "0", '"0" is not a positive number of seconds'),
            ("--wait", "1,", '"" is not a positive number of seconds'),
            ("--wait", "nan", '"nan" is not a positive number of seconds'),
            ("--wait", "-1", '"-1" is not a positive number of seconds'),
            ("--interval", "inf", '"inf" is not a positive number of seconds'),
            ("--count", "0", '"0" is not a positive whole number'),
            ("--count", "1.5", '"1.5" is not a positive whole number'),
            ("--bind", "127.0.0.1:65536", '"65536" is no port, which is a number from 0 to 65535'),
            ("--bind", "[::1", '"[::1" is no HOST:PORT; an IPv6 address is in brackets, as [::1]:1234'),
        ]:
            sentence = "rpcudp ping: argument {}: {}; --help says more.".format(name, reason)
            self.assertUsedWrongly(sentence, "ping", "127.0.0.1:1", "m", name, value)
        status, _, err = self.main("call", "127.0.0.1:1", "m", "--network", "nope")
        self.assertEqual((status, len(err.splitlines())), (2, 1))
        self.assertIn("--network", err)

    def test_subcommands(self):
        for words in ([], ["nope"], ["--nope"]):
            status, out, err = self.main(*words)
            self.assertEqual((status, out, len(err.splitlines())), (2, "", 1), err)

    def test_aNameOfTheOtherVersionThanBind(self):
        status, _, err = self.main("call", "127.0.0.1:1", "m", "--bind", "[::1]")
        self.assertEqual(status, 2)
        self.assertIn('"127.0.0.1" cannot be resolved as IPv6, as --bind asks for', err)

    def test_classes(self):
        for name, reason in [
            ("server", '"server" is not MODULE:CLASS, such as server:Server'),
            (":Server", '":Server" is not MODULE:CLASS, such as server:Server'),
            ("os:", '"os:" is not MODULE:CLASS, such as server:Server'),
            ("os:nothing", '"os" has nothing called "nothing"'),
            ("os:path", '"os:path" is not a subclass of RPCProtocol'),
            ("argparse:ArgumentParser", '"argparse:ArgumentParser" is not a subclass of RPCProtocol'),
        ]:
            sentence = str(self.assertRaises(UsedWrongly, _commands.makeProtocol, name))
            self.assertEqual(sentence, reason)
        self.assertUsedWrongly("rpcudp serve: it takes MODULE:CLASS.", "serve")

    def test_classesThatFail(self):
        folder = self.mktemp()
        os.mkdir(folder)
        self.patch(sys, "path", [folder] + sys.path)
        for name, text in [("broken", "\n1 / 0\n"), ("ending", "import sys\nsys.exit(3)\n"), ("unreadable", "(")]:
            with open(os.path.join(folder, name + ".py"), "w") as file:
                file.write(text)
        place = os.path.join(folder, "{}.py, line {})")
        for name, beginning, end in [
            ("no.module:X", '"no.module" cannot be imported: ', ""),
            ("broken:X", '"broken" cannot be imported: ZeroDivisionError: ', place.format("broken", 2)),
            ("ending:X", '"ending" cannot be imported: SystemExit: 3', place.format("ending", 2)),
            ("unreadable:X", '"unreadable" cannot be imported: SyntaxError: ', ""),
            ("tests.test_command:Failing", "Failing() failed: ValueError: no good", ")"),
            ("tests.test_command:Unspeakable", "Unspeakable() failed: Speechless: Speechless", ")"),
            ("tests.test_command:Foreign", "Foreign() failed: ValueError: ", ")"),
        ]:
            sentence = str(self.assertRaises(UsedWrongly, _commands.makeProtocol, name))
            self.assertTrue(sentence.startswith(beginning) and sentence.endswith(end), sentence)
            self.assertTrue(all(" " <= character <= "~" for character in sentence), sentence)

    def test_namesThatPython2CannotSay(self):
        sentence = '"os" has nothing called "\\u00e9"'
        error = self.assertRaises(UsedWrongly, _commands.makeProtocol, u"os:\xe9")
        self.assertEqual(str(error), sentence)

    def test_whatIsNotUTF8(self):
        word = b"\xff" if str is bytes else "\udcff"
        self.assertUsedWrongly("rpcudp: what it is given is not text in UTF-8.", "call", "127.0.0.1:1", "m", word)

    def test_abbreviationsAreNoOptions(self):
        for word in ("--wa", "-v5", "-vv", "--wai=1"):
            sentence = 'rpcudp call: there is no option "{}"; to pass it as an argument, put -- before it.'.format(word)
            self.assertUsedWrongly(sentence, "call", "127.0.0.1:1", "m", word)

    def test_portsThatCannotBeListenedOn(self):
        host = SimulatedNetwork().host("10.0.0.1")
        host.listenUDP(1234, Node())
        for name, reason in [
            ("tests.test_command:Node", "0.0.0.0:1234 cannot be listened on: Address already in use"),
            ("tests.test_command:Unstartable", "Unstartable cannot be started: ValueError: not now ("),
            ("tests.test_command:Ending", "Ending cannot be started: SystemExit: 7 ("),
        ]:
            options = givenOptions(port=1234 if "use" in reason else 1235)
            node = _commands.makeProtocol(name)
            sentence = str(self.assertRaises(UsedWrongly, _commands.serve, host, options, name, node))
            self.assertTrue(sentence.startswith(reason), sentence)
        for interface in ("localhost", "nope", u"\xe9"):
            options = givenOptions(interface=interface)
            error = self.assertRaises(UsedWrongly, _commands.serve, host, options, "Node", Node())
            self.assertIn(" is no IP address to listen on", str(error))


class MainTests(MainTestCase):
    def setUp(self):
        self.given = []
        self.patch(_commands, "run", lambda *given: self.given.append(given) or 0)

    def arguments(self, *words, **files):
        """
        @return: what C{words} are as arguments of a call.
        """
        status, _, err = self.main("call", "127.0.0.1:1234", "m", *words, **files)
        self.assertEqual((status, err), (0, ""))
        return self.given[-1][-1]

    def test_options(self):
        self.main("ping", "[::1]:1234", "m", "--wait", "0.5,1", "--network", "storj", "--bind", "[::]:99", "-v")
        function, options, peer, method, arguments = self.given.pop()
        self.assertEqual((function, peer, method, arguments), (_commands.ping, ("::1", 1234), "m", []))
        self.assertEqual((options.wait, options.network, options.bind), ([0.5, 1.0], "storj", ("::", 99)))
        self.assertEqual((options.isVerbose, options.count, options.interval), (True, None, 1))
        self.main("ping", "a:1", "m", "--count", "3", "--interval", "0.5", "--bind", "127.0.0.1")
        options = self.given.pop()[1]
        self.assertEqual((options.count, options.interval, options.bind), (3, 0.5, ("127.0.0.1", 0)))
        self.main("call", "a:1", "m", "--bind", "::1")
        self.assertEqual(self.given[-1][1].bind, ("::1", 0))
        self.given.pop()
        self.assertEqual((options.wait, options.network, options.isVerbose), ([5.0], "rpcudp", False))

    def test_optionsBetweenArguments(self):
        self.assertEqual(self.arguments("1", "--wait", "2", "3", "-v", "4", "--bind=127.0.0.1", "5"), [1, 3, 4, 5])
        self.main("call", "--wait", "2", "a:1", "--network", "storj", "m", "x")
        self.assertEqual(self.given[-1][2:], (("a", 1), "m", ["x"]))

    def test_numbersAreNoOptions(self):
        words = ["-1", "-1.5", "-1e5", "-0", "-0.5E-3"]
        self.assertEqual(self.arguments(*words), [-1, -1.5, -1e5, 0, -0.0005])

    def test_afterTheDashesThereIsNoOption(self):
        self.assertEqual(self.arguments("--wait", "2", "--", "-v", "--", "--wait", "-x"), ["-v", "--", "--wait", "-x"])

    def test_aDashIsTextAndSoIsWhatHasSpaces(self):
        self.assertEqual(self.arguments("-", "", "- a list"), ["-", "", "- a list"])

    def test_files(self):
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b'{"a": [1, "hex:00"]}\n')
        self.assertEqual(self.arguments("@" + path, "@-", stdin=b"two\nlines\r\n"), [{"a": [1, b"\0"]}, "two\nlines"])
        self.assertEqual(self.arguments("@-", stdin=u"\u2603 @x".encode("utf-8")), [u"\u2603 @x"])

    def test_verboseSaysWhatIsNoJSON(self):
        _, _, err = self.main("ping", "a:1", "m", "1", '{"a": }', "-v")
        [line] = err.splitlines()
        self.assertTrue(line.startswith("rpcudp ping: argument 2 is text, as it is no JSON: "), line)
        self.assertEqual(self.given[-1][-1], [1, '{"a": }'])

    def test_version(self):
        status, out, err = self.main("--version")
        self.assertEqual((status, out + err), (0, "rpcudp {}\n".format(version)))

    def test_decodeOfArgumentsAndOfLines(self):
        for words, stdin in [([REQUEST, "04"], b""), (["--", REQUEST, "04"], b""), ([], REQUEST.encode() + b"\n\n04")]:
            status, out, err = self.main("decode", *words, stdin=stdin)
            self.assertEqual((status, len(out.splitlines()), len(err.splitlines())), (1, 1, 1))
            self.assertEqual(json.loads(out)["arguments"], ["Snake"])

    def test_decodeOfWhatIsNoText(self):
        status, out, err = self.main("decode", stdin=b"\xff\xfe\n" + REQUEST.encode())
        self.assertEqual((status, len(out.splitlines())), (2, 1))
        self.assertEqual(err, 'rpcudp decode: number 1: "\\u00ff\\u00fe" is not hexadecimal.\n')

    def test_decodeOfACapture(self):
        self.patch(command, "decodeCapture", lambda path: self.given.append(path) or 1)
        self.assertEqual(self.main("decode", "--capture", "a file"), (1, "", ""))
        self.assertEqual(self.given, ["a file"])
        self.assertUsedWrongly(
            "rpcudp decode: it takes HEX or --capture FILE, and not both.", "decode", "00", "--capture", "a file"
        )


class EndTests(MainTestCase):
    """
    How the command ends when something goes wrong.
    """

    def failing(self, error):
        def decode(texts):
            raise error

        self.silenced = []
        self.patch(command, "_silence", self.silenced.append)
        self.patch(command, "decode", decode)
        return self.main("decode", REQUEST)

    def test_interruptedBeforeThereIsAReactor(self):
        self.assertEqual(self.failing(KeyboardInterrupt()), (1, "", "rpcudp decode: interrupted.\n"))

    def test_outputThatFails(self):
        sentence = "rpcudp decode: standard input or output failed: No space left.\n"
        self.assertEqual(self.failing(IOError(errno.ENOSPC, "No space left")), (2, "", sentence))
        self.assertEqual(self.silenced, [1])

    def test_errorsThatNobodyTakes(self):
        class Full(Output):
            def write(self, text):
                raise IOError(errno.ENOSPC, "No space left")

            def flush(self):
                self.write("")

        self.patch(command, "_silence", lambda number: None)
        self.patch(sys, "argv", ["rpcudp", "decode", "xy"])
        self.patch(sys, "stderr", Full())
        self.patch(signal, "signal", lambda number, handler: None)
        self.assertEqual(command.main(), 2)

    def test_serveLogsToStandardError(self):
        given, observers = [], []
        self.patch(_commands, "run", lambda *arguments: given.append(arguments) or 0)
        self.patch(globalLogBeginner, "beginLoggingTo", lambda found, redirectStandardIO: observers.extend(found))
        self.patch(sys, "path", list(sys.path))
        self.assertEqual(self.main("serve", "tests.test_command:Node", "--port", "7"), (0, "", ""))
        function, options, name, node = given.pop()
        self.assertEqual((function, options.port, options.interface), (_commands.serve, 7, ""))
        self.assertEqual((name, type(node).__name__), ("tests.test_command:Node", "Node"))
        self.assertEqual((len(observers), sys.path[0]), (1, ""))


class RunTests(SynchronousTestCase):
    """
    The functions of the command under the reactor that runs them.
    """

    def runUnderReactor(self, function, isStopped=False):
        triggers = []

        class Reactor(object):
            def addSystemEventTrigger(self, phase, event, function):
                triggers.append((phase, event, function))

        def react(main):
            main(Reactor())
            [(phase, event, trigger)] = triggers
            self.assertEqual((phase, event), ("before", "shutdown"))
            if isStopped:
                trigger()
            raise SystemExit(0)

        self.patch(_commands, "react", react)
        return _commands.run(function, "options", "more")

    def test_status(self):
        given = []
        self.assertEqual(self.runUnderReactor(lambda *arguments: given.append(arguments[1:]) or defer.succeed(7)), 7)
        self.assertEqual(given, [("options", "more")])

    def test_stopped(self):
        stopped = defer.Deferred().addErrback(lambda failure: 3)
        self.assertEqual(self.runUnderReactor(lambda *arguments: stopped, isStopped=True), 3)

    def test_aModuleThatHasRunTheReactor(self):
        def react(main):
            raise ReactorNotRestartable()

        self.patch(_commands, "react", react)
        self.assertRaises(UsedWrongly, _commands.run, None, "options")

    def test_crashed(self):
        self.assertRaises(UsedWrongly, self.runUnderReactor, lambda *arguments: defer.Deferred())

    def test_failed(self):
        self.assertRaises(UsedWrongly, self.runUnderReactor, lambda *arguments: defer.fail(UsedWrongly("wrong")))


class CommandsTestCase(SynchronousTestCase):
    """
    The subcommands on hosts of a simulated network.
    """

    def setUp(self):
        # Rounded times show what they are.
        self.network = SimulatedNetwork(latency=0.125)
        self.here = self.network.host("10.0.0.1")
        self.node = Node()
        self.network.host("10.0.0.2").listenUDP(1234, self.node)

    def begin(self, function, *arguments, **given):
        """
        @return: the Deferred of the exit status.
        """
        self.out, self.err = [Terminal(), Terminal()] if given.pop("isTerminal", False) else [Output(), Output()]
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        return function(self.here, givenOptions(**given), *arguments)

    def assertPrinted(self, out, err=""):
        self.assertEqual((self.out.getvalue(), self.err.getvalue()), (out, err))


class CallTests(CommandsTestCase):
    def call(self, *arguments, **given):
        return self.network.run(self.begin(_commands.call, PEER, given.pop("method", "echo"), arguments, **given))

    def test_answered(self):
        self.assertEqual(self.call(5, b"\xff", None), 0)
        self.assertPrinted('[5, "hex:ff", null]\n')
        self.assertEqual(self.node.called, [(5, b"\xff", None)])

    def test_unanswered(self):
        self.assertEqual(self.call(method=u"ab\n", wait=[0.25, 0.5]), 1)
        self.assertPrinted("", 'rpcudp call: no answer from 10.0.0.2:1234 to "ab\\n" within 0.75 s.\n')
        # It was sent for each of the waits.
        self.assertEqual((self.network.seconds(), self.network.counts.sent), (0.75, 2))

    def test_storj(self):
        self.network.host("10.0.0.2").listenUDP(4321, Storj())
        outcome = self.begin(_commands.call, ("10.0.0.2", 4321), "echo", [1], network="storj")
        self.assertEqual(self.network.run(outcome), 0)
        outcome = self.begin(_commands.call, ("10.0.0.2", 4321), "echo", [1])
        self.assertEqual(self.network.run(outcome), 1)

    def test_bind(self):
        self.assertEqual(self.call(1, bind=("10.0.0.1", 99)), 0)
        [port] = self.here._sockets.values()
        self.assertEqual(port.port.getHost().port, 99)

    def test_IPv6(self):
        self.here = self.network.host("2001:db8::1")
        self.network.host("2001:db8::2").listenUDP(1234, Node())
        outcome = self.begin(_commands.call, ("2001:db8::2", 1234), "echo", [1])
        self.assertEqual(self.network.run(outcome), 0)
        outcome = self.begin(_commands.call, ("2001:db8::3", 1), "m", [])
        self.assertEqual(self.network.run(outcome), 1)
        self.assertIn("no answer from [2001:db8::3]:1 to", self.err.getvalue())

    def test_whatCannotBeSent(self):
        for argument, reason in [(u"x" * 9000, "over the limit of 8192"), (2**70, "cannot be serialised")]:
            sentence = str(self.assertRaises(UsedWrongly, self.call, argument))
            self.assertIn(reason, sentence)

    def test_whatOurSystemDoesNotSend(self):
        outcome = self.begin(_commands.call, PEER, u"m", [], wait=[1, 1])
        [bound] = self.here._sockets.values()
        # After the first, which is on its way.

        def refuse(datagram, address):
            raise socket.error(errno.ENETUNREACH, "unreachable")

        bound.port.write = refuse
        self.assertEqual(self.network.run(outcome), 1)
        self.assertIn("within 2 s; this system did not send 1 of the datagrams.", self.err.getvalue())

    def test_verbose(self):
        self.assertEqual(self.call(5, isVerbose=True), 0)
        first, second = self.err.getvalue().splitlines()
        self.assertTrue(first.startswith('0.000 > 10.0.0.2:1234 {"network": "rpcudp", "kind": "request", '), first)
        self.assertTrue(first.endswith('"method": "echo", "arguments": [5]}'), first)
        self.assertTrue(second.startswith('0.250 < 10.0.0.2:1234 {"network": "rpcudp", "kind": "response", '))
        self.assertTrue(second.endswith('"result": [5]}'), second)

    def test_verboseShowsWhatIsMalformed(self):
        outcome = self.begin(_commands.call, PEER, u"m", [], isVerbose=True, wait=[1])
        [bound] = self.here._sockets.values()
        self.node.transport.write(b"\x07junk", ("10.0.0.1", bound.port.getHost().port))
        self.network.run(outcome)
        self.assertIn("0.125 < 10.0.0.2:1234 malformed: it begins with 07", self.err.getvalue())

    def test_aTerminalIsToldAfterASecondWhatIsWaitedFor(self):
        outcome = self.begin(_commands.call, PEER, u"m", [], isTerminal=True, wait=[1, 1.5])
        self.network.advance(0.9)
        self.assertPrinted("")
        self.network.advance(0.2)
        notice = 'waiting for an answer from 10.0.0.2:1234 to "m", for up to 2.5 s\n'
        self.assertPrinted("", notice)
        self.network.run(outcome)
        self.assertEqual(len(self.err.getvalue().splitlines()), 2)

    def test_anAnswerWithinASecondBreaksNoSilence(self):
        self.call(1, isTerminal=True)
        self.network.advance(10)
        self.assertPrinted("[1]\n")

    def test_interrupted(self):
        outcome = self.begin(_commands.call, PEER, u"m", [])
        self.network.advance(1)
        outcome.cancel()
        self.assertEqual(self.successResultOf(outcome), 1)
        self.assertIn('no answer from 10.0.0.2:1234 to "m" before it was interrupted.\n', self.err.getvalue())


class PingTests(CommandsTestCase):
    def test_figures(self):
        latencies = iter([0.125, 0.25, 0.125, 0.125, 0.0625, 0.0625])
        self.network.rule(lambda datagram: [next(latencies)])
        outcome = self.begin(_commands.ping, PEER, "echo", [1], count=3)
        self.assertEqual(self.network.run(outcome), 0)
        self.assertPrinted(
            "1: 375.000 ms\n2: 250.000 ms\n3: 125.000 ms\n"
            "3 sent, 3 answered, 0 lost\n"
            "round-trip time: minimum 125.000 ms, median 250.000 ms, maximum 375.000 ms\n"
        )
        self.assertEqual(self.network.seconds(), 2.125)
        self.assertEqual(self.node.called, [(1,)] * 3)

    def test_theTimeBeginsBeforeTheRequestIsSent(self):
        clock = task.Clock()

        class Target(object):
            patience = "5 s"

            def call(self):
                # As if it took a second to write it.
                clock.advance(1)
                return defer.succeed((True, None))

        self.patch(sys, "stdout", Output())
        pinging = _commands._Ping(clock, givenOptions(count=2), Target())
        pinging._send()
        self.assertEqual(pinging._times, [1.0])

    def test_lossAndAMedianOfTwo(self):
        fates = iter([[0.125], [0.125], [], [0.25], [0.25]])
        self.network.rule(lambda datagram: next(fates))
        outcome = self.begin(_commands.ping, PEER, "echo", [1], count=3, interval=0.5, wait=[2])
        self.assertEqual(self.network.run(outcome), 0)
        self.assertPrinted(
            "1: 250.000 ms\n3: 500.000 ms\n2: no answer within 2 s\n"
            "3 sent, 2 answered, 1 lost\n"
            "round-trip time: minimum 250.000 ms, median 375.000 ms, maximum 500.000 ms\n"
        )

    def test_nobodyThere(self):
        outcome = self.begin(_commands.ping, ("10.0.0.3", 1), "echo", [1], count=2, wait=[0.5])
        self.assertEqual(self.network.run(outcome), 1)
        self.assertPrinted(
            "1: no answer within 0.5 s\n2: no answer within 0.5 s\n2 sent, 0 answered, 2 lost\n"
        )

    def test_interrupted(self):
        outcome = self.begin(_commands.ping, PEER, "echo", [1])
        self.network.advance(2.1)
        outcome.cancel()
        self.assertEqual(self.successResultOf(outcome), 0)
        # As the reactor closes the port then.
        [bound] = self.here._sockets.values()
        bound.port.stopListening()
        self.network.advance(10)
        self.assertPrinted(
            "1: 250.000 ms\n2: 250.000 ms\n3 sent, 2 answered, 0 lost, 1 not waited for\n"
            "round-trip time: minimum 250.000 ms, median 250.000 ms, maximum 250.000 ms\n"
        )

    def test_itStopsCallingWhenItIsInterrupted(self):
        outcome = self.begin(_commands.ping, PEER, "echo", [1])
        self.network.advance(0.1)
        outcome.cancel()
        self.network.advance(10)
        self.assertEqual(len(self.node.called), 1)

    def test_whatCannotBeSent(self):
        outcome = self.begin(_commands.ping, PEER, "echo", [u"x" * 9000])
        self.assertIn("over the limit of 8192", str(self.failureResultOf(outcome, UsedWrongly).value))


class ServeTests(CommandsTestCase):
    def test_itListensUntilItIsStopped(self):
        outcome = self.begin(_commands.serve, "module:Node", Node(), port=99, isVerbose=True)
        self.assertPrinted("module:Node listens on 0.0.0.0:99\n")
        called = self.network.run(self.node.echo(("10.0.0.1", 99), 7))
        self.assertEqual(called, (True, [7]))
        self.assertEqual(len(self.err.getvalue().splitlines()), 2)
        self.assertNoResult(outcome)
        outcome.cancel()
        self.assertEqual(self.successResultOf(outcome), 0)

    def test_interface(self):
        self.begin(_commands.serve, "module:Node", Node(), interface="10.0.0.1")
        self.assertIn("Node listens on 10.0.0.1:", self.out.getvalue())


class Finished(ProcessProtocol):
    """
    A process, which is interrupted as soon as it has printed C{lines} lines, if that is not 0.

    @ivar firstLine: a Deferred of what it has printed when there is a line, or when it has ended.
    @ivar done: a Deferred of its exit status, standard output and standard error.
    """

    def __init__(self, lines):
        self.lines = lines
        self.out = self.err = b""
        self.firstLine, self.done = defer.Deferred(), defer.Deferred()

    def outReceived(self, data):
        self.out += data
        if b"\n" in data and not self.firstLine.called:
            self.firstLine.callback(self.out.decode("ascii"))
        if self.lines and self.out.count(b"\n") >= self.lines:
            self.lines = 0
            self.transport.signalProcess("INT")

    def errReceived(self, data):
        self.err += data

    def processEnded(self, reason):
        if not self.firstLine.called:
            self.firstLine.callback(self.out.decode("ascii"))
        self.done.callback((reason.value.exitCode, self.out.decode("ascii"), self.err.decode("ascii")))


class ProcessTests(ProcessTestCase):
    """
    The command as it is run, on the real reactor.
    """

    def setUp(self):
        self.node = Node()
        port = reactor.listenUDP(0, self.node, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.address = "127.0.0.1:{}".format(port.getHost().port)

    def start(self, process, *words, **options):
        command = [sys.executable, "-m", "rpcudp"] + list(words)
        reactor.spawnProcess(process, sys.executable, command, env=ENVIRONMENT, **options)
        return process.done

    def spawn(self, *words, **options):
        """
        @return: a Deferred of the exit status, standard output and standard error.
        """
        return self.start(Finished(options.pop("interruptAfter", 0)), *words, **options)

    @defer.inlineCallbacks
    def test_call(self):
        outcomes = yield defer.gatherResults(
            [
                self.spawn("call", self.address, "echo", "5", u"\u2603".encode("utf-8") if str is bytes else u"\u2603"),
                self.spawn("call", self.address, "absent", "--wait", "0.2"),
                self.spawn("call", self.address, "echo", "x" * 9000),
            ]
        )
        self.assertEqual(outcomes[0], (0, '[5, "\\u2603"]\n', ""))
        sentence = 'rpcudp call: no answer from {} to "absent" within 0.2 s.\n'
        self.assertEqual(outcomes[1], (1, "", sentence.format(self.address)))
        self.assertEqual(outcomes[2][:2], (2, ""))
        self.assertEqual(len(outcomes[2][2].splitlines()), 1)

    @defer.inlineCallbacks
    def test_IPv6(self):
        try:
            port = reactor.listenUDP(0, Node(), interface="::1")
        except CannotListenError as error:
            raise SkipTest("there is no IPv6: {}".format(error))
        self.addCleanup(port.stopListening)
        address = "[::1]:{}".format(port.getHost().port)
        outcomes = yield defer.gatherResults(
            [self.spawn("call", address, "echo", "1", *words) for words in ([], ["--bind", "::1"])]
        )
        self.assertEqual(outcomes, [(0, "[1]\n", "")] * 2)

    @defer.inlineCallbacks
    def test_aModuleThatInstallsAReactor(self):
        if requireModule("twisted.internet.asyncioreactor") is None:
            raise SkipTest("this Twisted has no reactor for asyncio, or this Python no asyncio")
        folder = self.mktemp()
        os.mkdir(folder)
        with open(os.path.join(folder, "module.py"), "w") as file:
            file.write(ASYNCIO)
        process = Finished(0)
        self.start(process, "serve", "module:Node", "--interface", "127.0.0.1", path=folder)
        line = yield process.firstLine
        outcome = yield self.spawn("call", line.split()[-1], "nap")
        self.assertEqual(outcome, (0, '"awake"\n', ""))
        process.transport.signalProcess("TERM")
        yield process.done

    @defer.inlineCallbacks
    def test_pingIsInterrupted(self):
        status, out, err = yield self.spawn("ping", self.address, "echo", "--interval", "0.01", interruptAfter=3)
        self.assertEqual((status, err), (0, ""))
        lines = out.splitlines()
        count, answered = re.match("(\\d+) sent, (\\d+) answered, 0 lost", lines[-2]).groups()
        self.assertGreaterEqual(int(count), int(answered))
        self.assertGreaterEqual(int(answered), 3)
        self.assertEqual(len(lines), int(answered) + 2)
        self.assertTrue(lines[-1].startswith("round-trip time: minimum "), lines)

    @defer.inlineCallbacks
    def test_serve(self):
        path = os.path.join(self.mktemp(), "module.py")
        os.mkdir(os.path.dirname(path))
        with open(path, "w") as file:
            file.write("from tests.test_command import Node\n")
        # From the current folder.
        process = Finished(0)
        self.start(process, "serve", "module:Node", "--interface", "127.0.0.1", path=os.path.dirname(path))
        line = yield process.firstLine
        address = re.match("module:Node listens on (127.0.0.1:[0-9]+)\n$", line).group(1)
        status, out, _ = yield self.spawn("call", address, "echo", "1")
        self.assertEqual((status, out), (0, "[1]\n"))
        process.transport.signalProcess("INT")
        status, _, err = yield process.done
        self.assertEqual(status, 0)
        self.assertNotIn("Traceback", err)

    @defer.inlineCallbacks
    def test_outputThatNobodyReadsOrTakes(self):
        reading, writing = os.pipe()
        os.close(reading)
        # Standard output and error of each, "r" where they are read here.
        with open("/dev/full", "w") as file:
            full = file.fileno()
            ends = []
            for words, out, err in [
                (["decode", REQUEST], writing, "r"),
                (["decode", REQUEST], full, "r"),
                (["ping", self.address, "echo", "--interval", "0.1"], full, "r"),
                (["call", self.address, "echo"], full, "r"),
                (["call", "--help"], full, "r"),
                (["call", self.address, "echo", "-v"], "r", full),
                (["call", self.address, "echo", "-v"], "r", writing),
                (["call", "nothing"], "r", full),
            ]:
                ends.append(self.start(Finished(0), *words, childFDs={0: "w", 1: out, 2: err}))
            outcomes = yield defer.gatherResults(ends)
        os.close(writing)
        sentence = "rpcudp{}: standard input or output failed: No space left on device.\n"
        # argparse itself passes over it in some versions.
        self.assertIn(outcomes.pop(4), [(0, "", ""), (2, "", sentence.format(""))])
        expected = [(None, "", "")]
        expected += [(2, "", sentence.format(name)) for name in (" decode", " ping", " call")]
        expected += [(0, "[]\n", ""), (None, "", ""), (2, "", "")]
        self.assertEqual(outcomes, expected)

    @defer.inlineCallbacks
    def test_aServerAnswersWhoeverReadsItsErrors(self):
        process = Finished(0)
        with open("/dev/full", "w") as file:
            words = ["serve", "tests.test_command:Node", "--interface", "127.0.0.1", "-v"]
            self.start(process, *words, childFDs={0: "w", 1: "r", 2: file.fileno()})
        line = yield process.firstLine
        outcome = yield self.spawn("call", line.split()[-1], "echo", "1")
        self.assertEqual(outcome, (0, "[1]\n", ""))
        process.transport.signalProcess("TERM")
        yield process.done

    if not os.path.exists("/dev/full"):
        for test in (test_outputThatNobodyReadsOrTakes, test_aServerAnswersWhoeverReadsItsErrors):
            test.skip = "there is no device that is always full"

    @defer.inlineCallbacks
    def test_standardFilesThatAreClosed(self):
        words = ["call", self.address, "echo", "1"]
        for closed in (["0", "1", "2"], ["1"], ["2"]):
            shell = 'exec "$@" ' + " ".join(number + (">&-" if number != "0" else "<&-") for number in closed)
            process = Finished(0)
            command = ["/bin/sh", "-c", shell, "sh", sys.executable, "-m", "rpcudp"] + words
            reactor.spawnProcess(process, command[0], command, env=ENVIRONMENT)
            status, out, err = yield process.done
            self.assertEqual((status, err), (0, ""), closed)
            self.assertEqual(out, "" if "1" in closed else "[1]\n")

    @defer.inlineCallbacks
    def test_theExamplesOfItsHelpWork(self):
        pages = yield defer.gatherResults([self.spawn(name, "--help") for name in ("call", "ping", "decode", "serve")])
        examples = []
        for status, out, err in pages:
            self.assertEqual((status, err), (0, ""))
            examples += re.findall("^  rpcudp (.*)$", out, re.MULTILINE)
        self.assertEqual([example.split()[0] for example in examples], ["call", "ping", "decode", "serve"])
        self.node.rpc_sayhi = lambda sender, name: name
        for example in examples[:3]:
            words = example.replace("127.0.0.1:1234", self.address).split()
            status, out, err = yield self.spawn(*words)
            self.assertEqual((status, err), (0, ""), example)
            self.assertTrue("Snake" in out or "3 answered" in out, out)

    def test_withoutTwistedWhereItIsNotNeeded(self):
        program = "import sys, rpcudp.__main__; sys.exit('twisted' in sys.modules)"
        return self.runPython("-c", program).addCallback(lambda outcome: self.assertEqual(outcome, ("", "", 0)))
