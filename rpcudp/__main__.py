"""
The command, C{rpcudp} or C{python -m rpcudp}: a call from a shell, and what goes over the wire.

What each file owns: this one what the command is given; C{_commands} its calls and its server; C{_decode} what
datagrams say, with C{_capture} to get them from files; C{_text} how values are read and written.

argparse takes the options, wherever they stand, and leaves the words.  Told of the words, it would not have options
between them, would take -1e5 for an option, and would do with -- what each version of Python does.
"""

import argparse
import os
import re
import signal
import sys

from rpcudp import version
from rpcudp._decode import decode, decodeCapture
from rpcudp._text import UsedWrongly, complain, parse, quote, reasonOf, tell

_ADDRESS = re.compile(r"(\[[^][]+\]|[^][:]+)(?::([0-9]+))?\Z")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z")

_CALLED = "HOST:PORT METHOD [ARGUMENT ...]"

# Of an argument that comes from a file, and of a line of datagrams, in bytes: JSON may be longer than what is sent.
_LONGEST = 1 << 20

_ARGUMENTS = """\
An ARGUMENT is JSON where it can be read as JSON, such as 5, null or [1, "two"]; hex:00ff is
bytes, within JSON too; anything else is text. @FILE takes one from a file, and @- takes one
from standard input. What comes after -- is no option.

"""

_STATUS = """
The exit status is 0 if there was an answer, 1 if there was none, 2 if it was used wrongly.
"""

_SERVED = """\
An example, with server.py of docs/start.md listening (as by "rpcudp serve server:Server --port 1234"):

"""

_CALL = _ARGUMENTS + _SERVED + "  rpcudp call 127.0.0.1:1234 sayhi Snake\n" + _STATUS
_PING = _ARGUMENTS + _SERVED + "  rpcudp ping 127.0.0.1:1234 sayhi Snake --count 3 --interval 0.5\n" + _STATUS

_DECODE = """\
Without HEX, the datagrams are the lines of standard input. With --capture, there is a line for
each call: when it was first sent, by whom, to whom, its method, the time from the first request
to the first response, how many copies of the request there are, and the message id.

An example:

  rpcudp decode 00000102030405060708090a0b0c0d0e0f1011121392a5736179686991a5536e616b65

The exit status is 1 if one is no datagram of these networks, or there is no call in FILE, and
2 if one is not hexadecimal, or FILE cannot be read to its end.
"""

_SERVE = """\
The module may be in the current folder. The log goes to standard error.

An example, with server.py of docs/start.md in the current folder:

  rpcudp serve server:Server --port 1234
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        # The sentence alone, as with everything else that is wrong.
        tell(u"{}: {}; --help says more.".format(self.prog, message))
        self.exit(2)

    def _get_option_tuples(self, option_string):
        # There are no abbreviations, neither --wa nor -vv.  (The option that turns them off is of Python 3 alone.)
        return []


def _makeParser():
    parser = _Parser(prog="rpcudp", description="Remote procedure calls over UDP, from a shell.")
    parser.add_argument("--version", action="version", version="rpcudp " + version)
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", title="commands")
    commands.required = True

    def add(run, name, words, summary, epilog):
        command = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            usage="rpcudp {} [options] {}".format(name, words),
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    call = add(_call, "call", _CALLED, "make one call, and print its result as JSON", _CALL)
    ping = add(_ping, "ping", _CALLED, "make the same call again and again, and print the round-trip times", _PING)
    decoded = add(_decode, "decode", "[HEX ...]", "print what datagrams of either network contain", _DECODE)
    served = add(_serve, "serve", "MODULE:CLASS", "listen with a subclass of RPCProtocol until it is stopped", _SERVE)

    waits = "how long to wait for an answer (default: 5); with several, it is sent again after each but the last"
    for command in (call, ping):
        command.add_argument("--wait", metavar="SECONDS[,SECONDS...]", type=_parseWaits, default=[5.0], help=waits)
        command.add_argument("--network", choices=["rpcudp", "storj"], default="rpcudp", help="default: rpcudp")
        command.add_argument("--bind", metavar="ADDRESS[:PORT]", type=_parseBind, help="the local address to send from")
    ping.add_argument("--count", metavar="N", type=_parseCount, help="how many calls (default: until Ctrl-C)")
    ping.add_argument("--interval", metavar="SECONDS", type=_parseSeconds, default=1, help="between calls (default: 1)")
    decoded.add_argument("--capture", metavar="FILE", help="the calls in a file of pcap or pcapng")
    served.add_argument("--port", metavar="N", type=_parsePort, default=0, help="default: one that is free")
    served.add_argument("--interface", metavar="ADDRESS", default="", help="default: all of IPv4; :: is all of IPv6")
    for command in (call, ping, served):
        command.add_argument("-v", dest="isVerbose", action="store_true", help="print each datagram, both ways")
    return parser


def _parseSeconds(text):
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise UsedWrongly("{} is not a positive number of seconds".format(quote(text)))
    return seconds


def _parseWaits(text):
    return [_parseSeconds(part) for part in text.split(",")]


def _parseCount(text):
    if not _isWhole(text) or int(text) < 1:
        raise UsedWrongly("{} is not a positive whole number".format(quote(text)))
    return int(text)


def _parsePort(text, least=0):
    if not _isWhole(text) or not least <= int(text) < 65536:
        raise UsedWrongly("{} is no port, which is a number from {} to 65535".format(quote(text), least))
    return int(text)


def _isWhole(text):
    # Not as many digits as int() would refuse; and it is asked for no others than these.
    return re.match(r"[0-9]{1,18}\Z", text) is not None


def _parseBind(text):
    if text.count(":") > 1 and "[" not in text:
        # IPv6 without a port needs no brackets.
        return text, 0
    host, port = _splitAddress(text)
    return host, _parsePort(port or "0")


def _parsePeer(text):
    host, port = _splitAddress(text)
    if port is None:
        raise UsedWrongly("{} has no port: it is HOST:PORT".format(quote(text)))
    return host, _parsePort(port, 1)


def _splitAddress(text):
    """
    @return: the host, without brackets, and the digits of the port, or C{None}.
    """
    match = _ADDRESS.match(text)
    if match is None:
        raise UsedWrongly("{} is no HOST:PORT; an IPv6 address is in brackets, as [::1]:1234".format(quote(text)))
    return match.group(1).strip("[]"), match.group(2)


def _readArguments(words, options):
    """
    @return: the values that the arguments of a call stand for.
    """
    if words.count("@-") > 1:
        raise UsedWrongly("standard input can be one argument, and not {}".format(words.count("@-")))
    arguments = []
    for number, word in enumerate(words, 1):
        if word.startswith("@"):
            word = _readFile(word[1:])
        value, reason = parse(word)
        arguments.append(value)
        if options.isVerbose and reason is not None:
            complain(options.command, "argument {} is text, as it is no JSON: {}".format(number, reason))
    return arguments


def _readFile(path):
    """
    @return: the text in a file, without the ends of lines after it, as a shell has it.
    """
    try:
        if path == "-":
            data = getattr(sys.stdin, "buffer", sys.stdin).read(_LONGEST + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(_LONGEST + 1)
        if len(data) > _LONGEST:
            raise UsedWrongly("{} is longer than {} bytes".format(quote(path), _LONGEST))
        return data.decode("utf-8").rstrip("\r\n")
    except EnvironmentError as error:
        raise UsedWrongly("{} cannot be read: {}".format(quote(path), reasonOf(error)))
    # Of the name, where Python 2 cannot say it to the system.
    except UnicodeEncodeError:
        raise UsedWrongly("{} is no name of a file here".format(quote(path)))
    except UnicodeDecodeError:
        raise UsedWrongly("{} is not text in UTF-8; what is not can be given as hex:".format(quote(path)))


def _takeCall(options, words):
    """
    @return: the host and the port, the method, and its arguments.
    """
    if len(words) < 2:
        raise UsedWrongly("it takes {}".format(_CALLED))
    return _parsePeer(words[0]), words[1], _readArguments(words[2:], options)


def _call(options, words):
    given = _takeCall(options, words)
    # Here, as decode does without Twisted, and is there sooner.
    from rpcudp import _commands

    return _commands.run(_commands.call, options, *given)


def _ping(options, words):
    given = _takeCall(options, words)
    from rpcudp import _commands

    return _commands.run(_commands.ping, options, *given)


def _decode(options, words):
    if options.capture is not None:
        if words:
            raise UsedWrongly("it takes HEX or --capture FILE, and not both")
        return decodeCapture(options.capture)
    if words:
        return decode(words)
    if sys.stdin.isatty():
        tell(u"rpcudp decode: the datagrams are read from standard input.")
    # Line by line, as they come; whatever their encoding is, digits are ASCII.
    file = getattr(sys.stdin, "buffer", sys.stdin)
    lines = iter(lambda: file.readline(_LONGEST), b"")
    return decode(line.decode("latin-1") for line in lines)


def _serve(options, words):
    if len(words) != 1:
        raise UsedWrongly("it takes MODULE:CLASS")
    from twisted.logger import globalLogBeginner, textFileLogObserver

    from rpcudp import _commands

    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    # As other commands that load code have it, a module may be in the current folder.
    sys.path.insert(0, "")
    return _commands.run(_commands.serve, options, words[0], _commands.makeProtocol(words[0]))


def _openStandardFiles():
    """
    Have nothing be in the place of standard files that are closed: what is opened next would take their numbers.
    """
    for number, name in enumerate(["stdin", "stdout", "stderr"]):
        try:
            os.fstat(number)
        except OSError:
            # It takes the lowest number that is free.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r+"))


def _decodeWords(words):
    """
    @return: what the command was given, as text.
    """
    try:
        words = [word if isinstance(word, type(u"")) else word.decode("utf-8") for word in words]
        # Python 3 has taken bytes that are no UTF-8 for halves of characters.
        u"".join(words).encode("utf-8")
    except UnicodeError:
        raise UsedWrongly("what it is given is not text in UTF-8")
    return words


def _run(name):
    """
    Do what the command is told to.

    @param name: a list, of which the first becomes the name of the subcommand.

    @return: the exit status.
    """
    given = _decodeWords(sys.argv[1:])
    end = given.index(u"--") if u"--" in given else len(given)
    options, words = _makeParser().parse_known_args(given[:end])
    name[0] = options.command
    for word in words:
        # argparse takes no word with a space for an option either.
        if word.startswith("-") and word != "-" and " " not in word and not _NUMBER.match(word):
            raise UsedWrongly("there is no option {}; to pass it as an argument, put -- before it".format(quote(word)))
    if options.run is not _serve and hasattr(signal, "SIGPIPE"):
        # Whoever reads the output may stop, which is no error.  (That of a server is not to end with a client's.)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    return options.run(options, words + given[end + 1 :])


def _silence(number):
    """
    Have nothing more be written to a standard file that failed: what it still holds would fail once more at the end.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def main():
    """
    Do what the command is told to, and say what is wrong with that.

    @return: the exit status.
    """
    _openStandardFiles()
    # What complains: the subcommand, once it is known.
    name = [""]
    status = 2
    try:
        try:
            status = _run(name)
        except SystemExit as ended:
            # argparse has printed what there is to say.
            status = ended.code
        sys.stdout.flush()
    except UsedWrongly as error:
        complain(name[0], error)
    except EnvironmentError as error:
        complain(name[0], "standard input or output failed: {}".format(reasonOf(error)))
        _silence(1)
        status = 2
    except KeyboardInterrupt:
        complain(name[0], "interrupted")
        status = 1
    try:
        sys.stderr.flush()
    except EnvironmentError:
        _silence(2)
    return status


if __name__ == "__main__":
    sys.exit(main())
