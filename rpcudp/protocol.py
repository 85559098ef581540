"""
RPCProtocol: calls that go out, and handlers that answer those that come in.

How a call travels::

    caller                                            answerer
    protocol.sayhi(address, name)                     datagramReceived
        wire.encode, SendQueue  -----request----->        wire.decode
        a Deferred in _outstanding                    _acceptRequest
    datagramReceived                                      rpc_sayhi(sender, name)
        wire.decode             <----response-----    _sendResponse
    _acceptResponse fires the Deferred                    wire.encode, SendQueue

What each file owns: C{wire} the bytes, C{sending} what the operating system makes of them, C{handlers} the way from a
request to its handler, and this one the table of the calls in flight and what becomes of a handler's result.

Names: the public namespace of L{RPCProtocol} belongs to the application, as every public name on it hides a remote
method.  Six private names are for subclasses too: C{_waitTimeout}, C{_outstanding}, C{_acceptRequest},
C{_acceptResponse}, C{_sendResponse} and C{_timeout}.  The rest bear two underscores, so that no subclass hits one of
them by accident.
"""

import binascii
import functools
import types
from builtins import int, str
from numbers import Real
from socket import AF_INET, AF_INET6

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from rpcudp import wire
from rpcudp.exceptions import MalformedMessage
from rpcudp.handlers import Refused, carryOut
from rpcudp.sending import SendQueue

log = Logger()

# Python 2 has no coroutines, and nothing is an instance of no class.
_COROUTINE = getattr(types, "CoroutineType", ())

# On Python 2 an IP address may be a native string as well.
_TEXT = (str, type(""))

# How a socket spells 255.255.255.255.
_BROADCAST = "<broadcast>"


class RPCProtocol(DatagramProtocol, object):
    """
    Calls the methods of its peers, and has its own called by them.

    C{protocol.anything(address, *arguments)} asks the peer at C{address}, an C{(ip, port)} pair, for C{anything}, and
    returns a L{Deferred}.  It fires with C{(True, result)}, or with C{(False, None)} where no answer came in time: on
    UDP an ordinary outcome, and no failure.  It fails only when it is cancelled, with
    L{twisted.internet.defer.CancelledError}.  The call itself raises, and leaves nothing behind,

      - L{RuntimeError}, if this protocol does not listen on a port;
      - L{ValueError}, if C{address} is no C{(ip, port)} pair, or of another IP version than the port;
      - L{MalformedMessage}, if the arguments cannot be serialised, or are too long (see L{wire.encode}).

    A method C{rpc_NAME(self, sender, *arguments)} of a subclass is open to the network.  C{sender} is the C{(ip, port)}
    pair of the caller.  What it returns is the answer, at once or, from a L{Deferred} or a coroutine, later.  If it
    fails, or its result cannot be sent, that is logged and there is no answer.

    @cvar noisy: whether the log tells the life of each datagram, and not only what the application did wrong.
    @type noisy: L{bool}

    @cvar _kinds: the network that this class speaks to.
    @type _kinds: L{wire.Kinds}

    @ivar _waitTimeout: for how many seconds a call waits for its answer.

    @ivar _outstanding: the calls in flight: by message id, the L{Deferred} and the timer of each.
    @type _outstanding: L{dict}
    """

    noisy = False
    _kinds = wire.RPCUDP

    def __init__(self, waitTimeout=5, reactor=None, maxConcurrent=1000):
        """
        @param waitTimeout: for how many seconds a call waits for its answer.
        @type waitTimeout: a positive, finite number

        @param reactor: the clock of the calls.  By default it is the reactor of the port that the protocol listens on.
        @type reactor: provider of L{twisted.internet.interfaces.IReactorTime}

        @param maxConcurrent: how many requests are being answered at one time, their handlers' Deferreds not yet fired.
            Anyone can send requests, so there has to be an end; one above it is dropped.
        @type maxConcurrent: positive L{int}

        @raise TypeError: if C{waitTimeout} is no number, C{reactor} has no C{callLater}, or C{maxConcurrent} is no
            integer.
        @raise ValueError: if C{waitTimeout} is zero, negative or not finite, or C{maxConcurrent} is less than 1.
        """
        if not isinstance(waitTimeout, Real):
            raise TypeError("waitTimeout is {!r}, and not a number of seconds".format(waitTimeout))
        if not 0 < waitTimeout < float("inf"):
            raise ValueError("waitTimeout is {!r} seconds, and not positive and finite".format(waitTimeout))
        if reactor is not None and not hasattr(reactor, "callLater"):
            raise TypeError("reactor is {!r}, and has no callLater".format(reactor))
        if not isinstance(maxConcurrent, int):
            raise TypeError("maxConcurrent is {!r}, and not an integer".format(maxConcurrent))
        if maxConcurrent < 1:
            raise ValueError("maxConcurrent is {!r}, and 1 is the least".format(maxConcurrent))
        self._waitTimeout = waitTimeout
        self._outstanding = {}
        self.__reactor = reactor
        self.__maxConcurrent = maxConcurrent
        self.__beingAnswered = 0
        self.__sendQueue = SendQueue(self.__clock, self.__note)

    def __getattr__(self, name):
        """
        @return: the remote method called C{name}.

        @raise AttributeError: if C{name} begins with C{_} or C{rpc_}, as it is then no remote method's.
        """
        if name.startswith(("_", "rpc_")):
            raise AttributeError("{!r} object has no attribute {!r}".format(type(self).__name__, name))
        return functools.partial(self.__call, name)

    def doStart(self):
        """
        Twisted's, for when a port has taken this protocol.  Its receive buffer is 8192 bytes by default and would cut a
        payload that has this length itself.
        """
        if getattr(self.transport, "maxPacketSize", wire.MAX_DATAGRAM) < wire.MAX_DATAGRAM:
            self.transport.maxPacketSize = wire.MAX_DATAGRAM
        DatagramProtocol.doStart(self)

    def doStop(self):
        """
        Twisted's, for when the port is closed.  Every call in flight is given up, no timer stays behind, and the
        protocol may listen again.
        """
        try:
            DatagramProtocol.doStop(self)
        finally:
            self.__sendQueue.clear()
            for msgID in list(self._outstanding):
                self._timeout(msgID)

    def __clock(self):
        reactor = self.__reactor or getattr(self.transport, "reactor", None)
        if reactor is None:
            # Here, because the import installs a reactor.
            from twisted.internet import reactor
        return reactor

    def __call(self, method, address, *arguments):
        if self.transport is None:
            raise RuntimeError("{} cannot be called: this protocol does not listen on a port".format(method))
        if isinstance(method, bytes):
            # An attribute's name on Python 2.
            method = method.decode("utf-8")
        address = _checkAddress(address, self.transport)
        msgID = wire.newMessageID()
        datagram = wire.encode(self._kinds.request, msgID, [method, arguments])
        deferred = Deferred(lambda _: self.__forget(msgID))
        timer = self.__clock().callLater(self._waitTimeout, self._timeout, msgID)
        self._outstanding[msgID] = (deferred, timer)
        self.__note("calling {method} of {peer} [{msgID}]", msgID, method=method, peer=address)
        try:
            self.__sendQueue.send(self.transport, datagram, address, lambda waited: msgID in self._outstanding)
        except Exception:
            self.__forget(msgID)
            raise
        return deferred

    def _timeout(self, msgID):
        """
        Give up a call: it fires C{(False, None)}.  A message id that is not in flight is ignored.
        """
        if msgID in self._outstanding:
            self.__note("no answer [{msgID}]", msgID)
            self.__forget(msgID).callback((False, None))

    def __forget(self, msgID):
        deferred, timer = self._outstanding.pop(msgID)
        if timer.active():
            timer.cancel()
        return deferred

    def datagramReceived(self, datagram, address):
        """
        Twisted's, for each datagram.  One that is malformed is dropped.
        """
        try:
            kind, msgID, data = wire.decode(datagram, self._kinds)
        except MalformedMessage as error:
            self.__note("dropped a datagram of {peer}: {reason}", peer=address, reason=error)
            return
        if kind == self._kinds.request:
            self._acceptRequest(msgID, data, address)
        else:
            self._acceptResponse(msgID, data, address)

    def _acceptResponse(self, msgID, data, address):
        """
        Answer the call with C{msgID}.  The message id alone pairs the two, so that a peer may answer from another
        address than the one that was called.  Where no call waits for it, the response is dropped.

        @param data: the result.
        """
        if msgID not in self._outstanding:
            self.__note("dropped a response of {peer} that nobody waits for [{msgID}]", msgID, peer=address)
            return
        self.__note("answered by {peer} [{msgID}]", msgID, peer=address)
        self.__forget(msgID).callback((True, data))

    def _acceptRequest(self, msgID, data, address):
        """
        Have the handler carry out a request, and answer it.

        @param data: C{[method, arguments]}.
        """
        method, arguments = data
        if self.__beingAnswered >= self.__maxConcurrent:
            self.__refuse(msgID, method, address, "{} are being answered".format(self.__beingAnswered))
            return
        transport = self.transport

        def answer(result):
            # Only through the port that took the request: it may be closed by now.
            if self.transport is transport:
                self._sendResponse(result, msgID, address)

        def fail(failure):
            log.failure("rpc_{method}, called by {peer}, has no answer", failure, method=method, peer=address)

        def finish(result):
            self.__beingAnswered -= 1
            return result

        try:
            result = carryOut(self, method, address, arguments)
        except Refused as reason:
            self.__refuse(msgID, method, address, reason)
            return
        except BaseException:
            fail(Failure())
            return
        if isinstance(result, _COROUTINE):
            result = ensureDeferred(result)
        if isinstance(result, Deferred):
            self.__beingAnswered += 1
            result.addBoth(finish).addCallback(answer).addErrback(fail)
            return
        try:
            answer(result)
        except Exception:
            fail(Failure())

    def __refuse(self, msgID, method, address, reason):
        self.__note(
            "refused {method!r} to {peer}: {reason} [{msgID}]", msgID, method=method, peer=address, reason=reason
        )

    def _sendResponse(self, response, msgID, address):
        """
        Send the response to the request with C{msgID}.

        @param response: the result.

        @raise MalformedMessage: if it cannot be serialised or is too long (see L{wire.encode}).
        """
        datagram = wire.encode(self._kinds.response, msgID, response)
        self.__note("answering {peer} [{msgID}]", msgID, peer=address)
        self.__sendQueue.send(self.transport, datagram, address, self.__isWorthAnswering)

    def __isWorthAnswering(self, waited):
        # How long the caller waits is not ours to know; peers of one network are likely to agree.
        return waited < self._waitTimeout

    def __note(self, text, msgID=b"", **fields):
        if self.noisy:
            log.info(text, msgID=binascii.hexlify(msgID).decode("ascii"), **fields)


def _checkAddress(address, transport):
    """
    @return: C{address} as a socket wants it.
    @rtype: L{tuple} of an IP and a port

    @raise ValueError: if it is no such pair, or C{transport} cannot reach it.
    """
    if not isinstance(address, (tuple, list)) or len(address) != 2:
        raise ValueError("address is {!r}, and not an (ip, port) pair".format(address))
    host, port = address
    if not isinstance(host, _TEXT) or not (isIPAddress(host) or isIPv6Address(host) or host == _BROADCAST):
        raise ValueError("address is {!r}, and its first part not an IP address".format(address))
    if not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError("address is {!r}, and its second part not a port from 1 to 65535".format(address))
    version, other = (6, AF_INET) if isIPv6Address(host) else (4, AF_INET6)
    if getattr(transport, "addressFamily", None) == other:
        raise ValueError("address is {!r}, and the port does not speak IPv{}".format(address, version))
    return host, port
