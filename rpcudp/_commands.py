"""
C{rpcudp call}, C{ping} and C{serve}: what of the command has a port, and so the reactor.  One of them is run, once in a
process.
"""

from __future__ import print_function

import importlib
import socket
import sys
import traceback
from timeit import default_timer

from twisted.internet import defer, reactor, task
from twisted.internet.error import InvalidAddressError
from twisted.logger import globalLogBeginner, textFileLogObserver

from rpcudp import protocol, wire
from rpcudp._decode import explain
from rpcudp._text import UsedWrongly, complain, dumps, formatAddress, quote
from rpcudp.calls import call as callMethod
from rpcudp.exceptions import MalformedMessage
from rpcudp.statistics import statistics

# Seconds of silence, after which a terminal is told what is being waited for.
_PATIENCE = 1


def call(peer, method, arguments, options):
    """
    Make a call, and print the result.

    @param peer: the host and the port of the peer.
    @type peer: L{tuple}

    @param options: what the command was given.

    @return: the exit status.

    @raise UsedWrongly: if the call cannot be made.
    """
    node, address = _open(peer, options)
    notice = _Notice(address, method, options)
    outcome = _runUntil(lambda: callMethod(node, address, method, arguments))
    notice.cancel()
    if outcome is not None and outcome[0]:
        print(dumps(outcome[1]))
        return 0
    when = "before it was interrupted" if outcome is None else "within {:g} seconds".format(sum(options.wait))
    text = "no answer from {} to {} {}{}"
    complain("call", text.format(formatAddress(address), dumps(method), when, _losses(node)))
    return 1


class Ping(object):
    """
    The same call again and again.

    @ivar times: the round-trip time of each call that was answered, in seconds.
    """

    def __init__(self, peer, method, arguments, options):
        """
        The same as L{call}.
        """
        self._node, self._address = _open(peer, options)
        self._method = method
        self._arguments = arguments
        self._options = options
        self._notice = _Notice(self._address, method, options)
        self._isStopped = False
        self.sent = self.ended = 0
        self.times = []

    def run(self):
        """
        @return: the exit status.

        @raise UsedWrongly: if the calls cannot be made.
        """
        reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        _runUntil(self._begin)
        self._notice.cancel()
        self._summarise()
        return 0 if self.times else 1

    def _begin(self):
        self._done = defer.Deferred()
        self._loop = task.LoopingCall(self._send)
        self._loop.start(self._options.interval).addErrback(self._done.errback)
        return self._done

    def _stop(self):
        self._isStopped = True

    def _send(self):
        self.sent += 1
        if self.sent == self._options.count:
            self._loop.stop()
        outcome = callMethod(self._node, self._address, self._method, self._arguments)
        outcome.addCallback(self._end, self.sent, default_timer())

    def _end(self, outcome, number, began):
        # Those that are in flight when it is stopped are neither answered nor lost.
        if self._isStopped:
            return
        seconds = default_timer() - began
        self._notice.cancel()
        self.ended += 1
        if outcome[0]:
            self.times.append(seconds)
            text = "{:.3f} ms".format(seconds * 1000)
        else:
            text = "no answer within {:g} seconds".format(sum(self._options.wait))
        print("{}: {}".format(number, text))
        sys.stdout.flush()
        if self.ended == self._options.count:
            self._done.callback(None)

    def _summarise(self):
        text = "{} sent, {} answered, {} lost".format(self.sent, len(self.times), self.ended - len(self.times))
        if self.ended < self.sent:
            text += ", {} not waited for".format(self.sent - self.ended)
        print(text + _losses(self._node))
        if self.times:
            times = sorted(self.times)
            median = (times[(len(times) - 1) // 2] + times[len(times) // 2]) / 2
            figures = [1000 * seconds for seconds in (times[0], median, times[-1])]
            print("round-trip time: minimum {:.3f} ms, median {:.3f} ms, maximum {:.3f} ms".format(*figures))


def serve(name, options):
    """
    Listen with a protocol until that is stopped.

    @param name: C{MODULE:CLASS}, a subclass of L{protocol.RPCProtocol}.

    @param options: what the command was given.

    @return: the exit status.

    @raise UsedWrongly: if there is no such class, it cannot be instantiated, or cannot listen.
    """
    # As for other commands that load code: what is in the current folder comes first.
    sys.path.insert(0, "")
    node = _make(name)
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    port = _listen(options.port, node, options.interface, options.isVerbose)
    host = port.getHost()
    print("{} listens on {}".format(name, formatAddress((host.host, host.port))))
    sys.stdout.flush()
    reactor.run()
    return 0


def _make(name):
    """
    @return: an instance of the protocol called C{name}.
    """
    moduleName, colon, className = name.partition(":")
    if not (moduleName and className):
        raise UsedWrongly("{} is not MODULE:CLASS, such as server:Server".format(quote(name)))
    # Not only an Exception: a program may end itself when it is imported.
    try:
        module = importlib.import_module(moduleName)
    except (Exception, SystemExit) as error:
        raise UsedWrongly("{} cannot be imported: {}".format(quote(moduleName), _describe(error)))
    kind = getattr(module, className, None)
    if kind is None:
        raise UsedWrongly("{} has nothing called {}".format(quote(moduleName), quote(className)))
    if not (isinstance(kind, type) and issubclass(kind, protocol.RPCProtocol)):
        raise UsedWrongly("{} is not a subclass of RPCProtocol".format(quote(name)))
    try:
        return kind()
    except (Exception, SystemExit) as error:
        raise UsedWrongly("{}() failed: {}".format(className, _describe(error)))


def _describe(error):
    """
    @return: what an exception that is being handled says, and where it was raised, if not by the import itself.
    """
    text = " ".join("{}: {}".format(type(error).__name__, error).split())
    # The first is our own.
    frames = traceback.extract_tb(sys.exc_info()[2])[1:]
    places = ["{}, line {}".format(*frame[:2]) for frame in frames if "importlib" not in frame[0]]
    return "{} ({})".format(text, places[-1]) if places else text


def _open(peer, options):
    """
    @return: a protocol that listens, and the address of the peer.
    """
    host, port = peer
    bindHost, bindPort = options.bind or (None, 0)
    address, isIPv6 = _resolve(host, port, bindHost)
    kind = importlib.import_module("storjrpcudp.protocol" if options.network == "storj" else "rpcudp.protocol")
    node = kind.RPCProtocol(waitTimeout=options.wait)
    _listen(bindPort, node, bindHost or ("::" if isIPv6 else ""), options.isVerbose)
    return node, address


def _resolve(host, port, bindHost):
    """
    @return: the C{(ip, port)} pair that C{host} stands for, IPv4 where it has both and C{bindHost} does not say
        otherwise; and whether it is IPv6.
    """
    families = [socket.AF_INET, socket.AF_INET6]
    if bindHost is not None:
        families = [socket.AF_INET6 if ":" in bindHost else socket.AF_INET]
    for family in families:
        try:
            found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM)
        # Of names that cannot be one, a UnicodeError.
        except (socket.error, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
        else:
            sockaddr = found[0][4]
            zone = "%{}".format(sockaddr[3]) if family == socket.AF_INET6 and sockaddr[3] else ""
            return (sockaddr[0].partition("%")[0] + zone, port), family == socket.AF_INET6
    version = " as IPv{}, as --bind has it".format(6 if family == socket.AF_INET6 else 4) if bindHost else ""
    raise UsedWrongly("{} cannot be resolved{}: {}".format(quote(host), version, reason))


def _listen(port, node, interface, isVerbose):
    """
    @return: the port that C{node} listens on.
    """
    try:
        listening = reactor.listenUDP(port, node, interface=interface, maxPacketSize=wire.MAX_DATAGRAM)
    # Besides those of the system, whatever startProtocol raises.
    except Exception as error:
        reason = getattr(error, "socketError", error)
        text = "{}:{} cannot be listened on: {}"
        raise UsedWrongly(text.format(interface or "0.0.0.0", port, getattr(reason, "strerror", None) or reason))
    if isVerbose:
        _showDatagrams(listening, node)
    return listening


def _showDatagrams(port, node):
    """
    Print each datagram to standard error, as it comes or goes.
    """
    began = default_timer()

    def shown(arrow, function):
        def show(datagram, address=None):
            try:
                text = dumps(explain(datagram))
            except MalformedMessage as error:
                text = "malformed: {}".format(error)
            peer = formatAddress(address[:2])
            print("{:.3f} {} {} {}".format(default_timer() - began, arrow, peer, text), file=sys.stderr)
            try:
                return function(datagram, address)
            except socket.error as error:
                print("it was not sent: {}".format(error), file=sys.stderr)
                raise

        return show

    port.write = shown(">", port.write)
    node.datagramReceived = shown("<", node.datagramReceived)


def _losses(node):
    """
    @return: what our own system would not send, in words.
    """
    lost = statistics(node).lost
    return "; this system did not send {} of its datagrams".format(lost) if lost else ""


class _Notice(object):
    """
    What a terminal is told after a second of silence.
    """

    def __init__(self, address, method, options):
        self._timer = None
        if sys.stderr.isatty():
            text = "waiting for an answer from {} to {}, for up to {:g} seconds"
            text = text.format(formatAddress(address), dumps(method), sum(options.wait))
            self._timer = reactor.callLater(_PATIENCE, print, text, file=sys.stderr)

    def cancel(self):
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


def _runUntil(begin):
    """
    Run the reactor, and in it C{begin}, until the Deferred that this returns has a result, or somebody stops the
    reactor, as by Ctrl-C.

    @return: the result, or C{None} if it was stopped.

    @raise UsedWrongly: if the call could not be made.
    """
    results, stopped = [], []

    def finish(result):
        if not stopped:
            results.append(result)
            reactor.stop()

    reactor.addSystemEventTrigger("before", "shutdown", stopped.append, True)
    reactor.callWhenRunning(lambda: defer.maybeDeferred(begin).addBoth(finish))
    reactor.run()
    if results and hasattr(results[0], "raiseException"):
        try:
            results[0].raiseException()
        except (MalformedMessage, InvalidAddressError) as error:
            raise UsedWrongly(str(error))
    return results[0] if results else None
