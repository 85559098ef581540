"""
C{rpcudp call}, C{ping} and C{serve}: what of the command has a port.

Each is a function of a reactor and what the command was given, and returns a Deferred of the exit status.  To cancel
that is to stop, as Ctrl-C does.
"""

from __future__ import print_function

import importlib
import socket
import sys
import traceback

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError, InvalidAddressError, ReactorNotRestartable
from twisted.internet.task import LoopingCall, react

from rpcudp import wire
from rpcudp._decode import explain
from rpcudp._text import UsedWrongly, complain, dumps, escape, formatAddress, quote, reasonOf, tell
from rpcudp.calls import call as callMethod
from rpcudp.exceptions import MalformedMessage
from rpcudp.protocol import RPCProtocol
from rpcudp.statistics import statistics

# Seconds of silence, after which a terminal is told what is being waited for.
_PATIENCE = 1


def run(function, options, *arguments):
    """
    Run one of the functions here with the global reactor, once in a process.

    @return: the exit status.

    @raise UsedWrongly: if it cannot do what it is told to.
    """
    results = []

    def main(reactor):
        deferred = function(reactor, options, *arguments)
        reactor.addSystemEventTrigger("before", "shutdown", deferred.cancel)
        # Also where it has failed; react would log that.
        return deferred.addBoth(results.append)

    try:
        react(main)
    except SystemExit:
        # That is how react ends.
        pass
    except ReactorNotRestartable:
        raise UsedWrongly("the module has run the reactor itself, when it was imported")
    if not results:
        raise UsedWrongly("the reactor was crashed by what it ran")
    if not isinstance(results[0], int):
        results[0].raiseException()
    return results[0]


def call(reactor, options, peer, method, arguments):
    """
    Make a call, and print the result.

    @param peer: the host and the port of the peer.
    @type peer: L{tuple}

    @raise UsedWrongly: if it cannot be made.
    """
    target = _Target(reactor, options, peer, method, arguments)

    def show(outcome):
        isAnswered, result = outcome
        if isAnswered:
            print(dumps(result))
            return 0
        complain("call", "no answer from {} within {}{}".format(target, target.patience, target.losses()))
        return 1

    def interrupted(failure):
        failure.trap(CancelledError)
        complain("call", "no answer from {} before it was interrupted{}".format(target, target.losses()))
        return 1

    return target.call().addCallbacks(show, interrupted)


def ping(reactor, options, peer, method, arguments):
    """
    Make the same call again and again, print what came of each, and in the end of all.

    @raise UsedWrongly: if the calls cannot be made.
    """
    return _Ping(reactor, options, _Target(reactor, options, peer, method, arguments)).run()


def serve(reactor, options, name, node):
    """
    Listen with a protocol until that is stopped.

    @param name: what it is called.

    @param node: the protocol, from L{makeProtocol}.

    @raise UsedWrongly: if it cannot listen.
    """
    host = _listen(reactor, options, node, options.port, options.interface.strip("[]")).getHost()
    print("{} listens on {}".format(escape(name), formatAddress((host.host, host.port))))
    sys.stdout.flush()
    stopped = Deferred()
    stopped.addErrback(lambda failure: failure.trap(CancelledError))
    return stopped.addCallback(lambda _: 0)


def makeProtocol(name):
    """
    Make a protocol, before there is a reactor, as the module may install one.

    @param name: C{MODULE:CLASS}, a subclass of L{RPCProtocol} that is instantiated without arguments.

    @raise UsedWrongly: if there is no such class, or it cannot be instantiated.
    """
    moduleName, colon, className = name.partition(":")
    if not (moduleName and className):
        raise UsedWrongly("{} is not MODULE:CLASS, such as server:Server".format(quote(name)))
    # Not only an Exception: a program may end itself when it is imported.
    try:
        module = importlib.import_module(moduleName)
    except (Exception, SystemExit) as error:
        raise UsedWrongly("{} cannot be imported: {}".format(quote(moduleName), _describe(error)))
    kind = vars(module).get(className)
    if kind is None:
        raise UsedWrongly("{} has nothing called {}".format(quote(moduleName), quote(className)))
    if not (isinstance(kind, type) and issubclass(kind, RPCProtocol)):
        raise UsedWrongly("{} is not a subclass of RPCProtocol".format(quote(name)))
    try:
        return kind()
    except (Exception, SystemExit) as error:
        raise UsedWrongly("{}() failed: {}".format(kind.__name__, _describe(error)))


def _describe(error):
    """
    @return: what an exception that is being handled says, and where it was raised, if not by the import itself.
    """
    text = "{}: {}".format(type(error).__name__, reasonOf(error))
    # The first is our own.
    frames = traceback.extract_tb(sys.exc_info()[2])[1:]
    places = ["{}, line {}".format(escape(frame[0]), frame[1]) for frame in frames if "importlib" not in frame[0]]
    return "{} ({})".format(text, places[-1]) if places else text


class _Target(object):
    """
    What is called, and by whom.  Its text says it in a sentence.

    @ivar patience: for how long a call waits, in words.
    """

    def __init__(self, reactor, options, peer, method, arguments):
        bindHost, bindPort = options.bind or (None, 0)
        family, self._address = _resolve(peer, bindHost)
        module = "storjrpcudp.protocol" if options.network == "storj" else "rpcudp.protocol"
        self._node = importlib.import_module(module).RPCProtocol(waitTimeout=options.wait, reactor=reactor)
        self._method = method
        self._arguments = arguments
        self.patience = "{:g} s".format(sum(options.wait))
        _listen(reactor, options, self._node, bindPort, bindHost or ("::" if family == socket.AF_INET6 else ""))
        self._notice = None
        if sys.stderr.isatty():
            text = "waiting for an answer from {}, for up to {}".format(self, self.patience)
            self._notice = reactor.callLater(_PATIENCE, tell, text)

    def __str__(self):
        return "{} to {}".format(formatAddress(self._address), dumps(self._method))

    def call(self):
        """
        @return: a Deferred of the outcome.
        """
        try:
            outcome = callMethod(self._node, self._address, self._method, self._arguments)
        except (MalformedMessage, InvalidAddressError) as error:
            raise UsedWrongly(reasonOf(error))
        return outcome.addBoth(self._breakSilence)

    def _breakSilence(self, outcome):
        if self._notice is not None and self._notice.active():
            self._notice.cancel()
        return outcome

    def losses(self):
        """
        @return: how many datagrams our own system would not send, in words.
        """
        lost = statistics(self._node).lost
        return "; this system did not send {} of the datagrams".format(lost) if lost else ""


class _Ping(object):
    """
    The same call again and again.

    @ivar _times: the round-trip time of each call that was answered, in seconds.
    """

    def __init__(self, reactor, options, target):
        self._reactor = reactor
        self._count = options.count
        self._interval = options.interval
        self._target = target
        self._sent = self._ended = 0
        self._times = []
        self._done = Deferred()
        self._loop = LoopingCall(self._send)
        self._loop.clock = reactor

    def run(self):
        """
        @return: a Deferred of the exit status.
        """
        self._loop.start(self._interval).addErrback(self._fail)
        self._done.addErrback(lambda failure: failure.trap(CancelledError))
        return self._done.addBoth(self._stop).addCallback(self._summarise)

    def _send(self):
        self._sent += 1
        if self._sent == self._count:
            self._loop.stop()
        began = self._reactor.seconds()
        self._target.call().addCallback(self._end, self._sent, began).addErrback(self._fail)

    def _fail(self, failure):
        # Of several that fail, the first says it.
        if not self._done.called:
            self._done.errback(failure)

    def _stop(self, result):
        if self._loop.running:
            self._loop.stop()
        return result

    def _end(self, outcome, number, began):
        # What is in flight when it is stopped is neither answered nor lost.
        if self._done.called:
            return
        self._ended += 1
        text = "no answer within {}".format(self._target.patience)
        if outcome[0]:
            self._times.append(self._reactor.seconds() - began)
            text = _milliseconds(self._times[-1])
        print("{}: {}".format(number, text))
        sys.stdout.flush()
        if self._ended == self._count:
            self._done.callback(None)

    def _summarise(self, _):
        answered, inFlight = len(self._times), self._sent - self._ended
        text = "{} sent, {} answered, {} lost".format(self._sent, answered, self._ended - answered)
        text += ", {} not waited for".format(inFlight) if inFlight else ""
        print(text + self._target.losses())
        if answered:
            times = sorted(self._times)
            median = (times[(answered - 1) // 2] + times[answered // 2]) / 2
            figures = [_milliseconds(seconds) for seconds in (times[0], median, times[-1])]
            print("round-trip time: minimum {}, median {}, maximum {}".format(*figures))
        return 0 if answered else 1


def _milliseconds(seconds):
    return "{:.3f} ms".format(seconds * 1000)


def _resolve(peer, bindHost):
    """
    @return: the family and the C{(ip, port)} pair of a host and a port; IPv4 where the host has both, and C{bindHost}
        does not ask for the other.
    """
    host, port = peer
    families = [socket.AF_INET, socket.AF_INET6]
    if bindHost is not None:
        families = [socket.AF_INET6 if ":" in bindHost else socket.AF_INET]
    for family in families:
        try:
            found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM)
        # Of names that cannot be one, a UnicodeError.
        except (socket.error, ValueError) as error:
            reason = reasonOf(error)
        else:
            sockaddr = found[0][4]
            zone = "%{}".format(sockaddr[3]) if family == socket.AF_INET6 and sockaddr[3] else ""
            return family, (sockaddr[0].partition("%")[0] + zone, port)
    version = " as IPv{}, as --bind asks for".format(6 if family == socket.AF_INET6 else 4) if bindHost else ""
    raise UsedWrongly("{} cannot be resolved{}: {}".format(quote(host), version, reason))


def _listen(reactor, options, node, port, interface):
    """
    @return: the port that C{node} listens on.
    """
    if interface and not isIPAddress(interface) and not isIPv6Address(interface):
        raise UsedWrongly("{} is no IP address to listen on".format(quote(interface)))
    address = formatAddress((interface or "0.0.0.0", port))
    try:
        listening = reactor.listenUDP(port, node, interface=interface, maxPacketSize=wire.MAX_DATAGRAM)
    except CannotListenError as error:
        raise UsedWrongly("{} cannot be listened on: {}".format(address, reasonOf(error.socketError)))
    # Of startProtocol.
    except (Exception, SystemExit) as error:
        raise UsedWrongly("{} cannot be started: {}".format(type(node).__name__, _describe(error)))
    if options.isVerbose:
        _showDatagrams(reactor, listening, node)
    return listening


def _showDatagrams(reactor, port, node):
    """
    Print each datagram to standard error, as it comes or goes.
    """
    began = reactor.seconds()

    def shown(arrow, function):
        def show(datagram, address=None):
            try:
                text = dumps(explain(datagram))
            except MalformedMessage as error:
                text = "malformed: {}".format(error)
            # A class that is served may connect its port.
            peer = formatAddress(address[:2]) if address else "connected"
            tell(u"{:.3f} {} {} {}".format(reactor.seconds() - began, arrow, peer, text))
            try:
                return function(datagram, address)
            except socket.error as error:
                tell(u"it was not sent: {}".format(reasonOf(error)))
                raise

        return show

    port.write = shown(">", port.write)
    node.datagramReceived = shown("<", node.datagramReceived)
