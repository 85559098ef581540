"""
RPCProtocol: calls that go out, and handlers that answer those that come in.

How a call travels::

    caller                                            answerer
    protocol.sayhi(address, name)                     datagramReceived
        wire.encode, SendQueue  -----request----->        wire.decode, DuplicateRequestCache
        a Deferred in _outstanding                    _acceptRequest
    datagramReceived                                      rpc_sayhi(sender, name)
        wire.decode             <----response-----    _sendResponse
    _acceptResponse fires the Deferred                    wire.encode, SendQueue

What each file owns: C{wire} the bytes, with C{fastcodec} to make them sooner and C{nesting} to know how deep they go;
C{sending} what the operating system makes of them; C{deadlines} how long calls wait; C{duplicates} which requests came
before; C{handlers} the way from a request to its handler; and this one the table of the calls in flight and what
becomes of a handler's result.

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
from socket import AF_INET, AF_INET6, SO_RCVBUF, SOL_SOCKET, error

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from rpcudp import wire
from rpcudp._deadlines import Deadlines
from rpcudp._duplicates import DuplicateRequestCache, RequestID
from rpcudp.exceptions import MalformedMessage
from rpcudp._handlers import Refused, carryOut
from rpcudp._sending import SendQueue

log = Logger()

# What a handler returns that becomes a result later.  Python 2 has no coroutines.
_LATER = (Deferred, getattr(types, "CoroutineType", Deferred))

# On Python 2 an IP address may be a native string as well.
_TEXT = (str, type(""))

# Bytes.
_RECEIVE_BUFFER = 1 << 20

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

    @ivar _waitTimeout: for how many seconds a call waits for its answer, or the schedule.

    @ivar _outstanding: the calls in flight: by message id, the L{Deferred} of each.
    @type _outstanding: L{dict}
    """

    noisy = False
    _kinds = wire.RPCUDP

    def __init__(self, waitTimeout=5, reactor=None, maxConcurrent=1000, duplicateLifetime=60):
        """
        @param waitTimeout: for how many seconds a call waits for its answer.  Or a schedule: the request is sent, and
            sent again after each of these waits but the last, after which the call is given up.
        @type waitTimeout: a positive, finite number, or a L{tuple} or L{list} of such

        @param reactor: the clock of the calls.  By default it is the reactor of the port that the protocol listens on.
        @type reactor: provider of L{twisted.internet.interfaces.IReactorTime}

        @param maxConcurrent: how many requests are being answered at one time, their handlers' Deferreds not yet fired.
            Anyone can send requests, so there has to be an end; one above it is dropped.
        @type maxConcurrent: positive L{int}

        @param duplicateLifetime: for how many seconds a request is remembered, so that a copy of it is not carried out
            again (see L{rpcudp._duplicates}); 0 for not at all.
        @type duplicateLifetime: a finite number, not negative

        @raise TypeError: if C{waitTimeout} is no number nor schedule, C{reactor} has no C{callLater}, C{maxConcurrent}
            is no integer, or C{duplicateLifetime} no number.
        @raise ValueError: if C{waitTimeout} is empty or has a wait that is zero, negative or not finite,
            C{maxConcurrent} is less than 1, or C{duplicateLifetime} is negative or not finite.
        """
        self._waitTimeout = waitTimeout
        if not self.__waits():
            raise ValueError("waitTimeout is {!r}, and has no wait in it".format(waitTimeout))
        for wait in self.__waits():
            if not isinstance(wait, Real):
                raise TypeError("waitTimeout is {!r}, and {!r} is not a number of seconds".format(waitTimeout, wait))
            if not 0 < wait < float("inf"):
                raise ValueError("waitTimeout is {!r}, and {!r} not positive and finite".format(waitTimeout, wait))
        if reactor is not None and not hasattr(reactor, "callLater"):
            raise TypeError("reactor is {!r}, and has no callLater".format(reactor))
        if not isinstance(maxConcurrent, int):
            raise TypeError("maxConcurrent is {!r}, and not an integer".format(maxConcurrent))
        if maxConcurrent < 1:
            raise ValueError("maxConcurrent is {!r}, and 1 is the least".format(maxConcurrent))
        if not isinstance(duplicateLifetime, Real):
            raise TypeError("duplicateLifetime is {!r}, and not a number of seconds".format(duplicateLifetime))
        if not 0 <= duplicateLifetime < float("inf"):
            raise ValueError("duplicateLifetime is {!r} seconds, and negative or not finite".format(duplicateLifetime))
        self._outstanding = {}
        self.__reactor = reactor
        self.__maxConcurrent = maxConcurrent
        self.__beingAnswered = 0
        self.__deadlines = Deadlines(self.__clock, self._outstanding, self._timeout)
        self.__sendQueue = SendQueue(self.__clock, self.__noteLoss)
        self.__duplicates = DuplicateRequestCache(self.__clock, duplicateLifetime) if duplicateLifetime else None

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
        Twisted's, for when a port has taken this protocol.  It receives no more than 8192 bytes by default, and so
        would cut a payload that has this length itself.
        """
        if getattr(self.transport, "maxPacketSize", wire.MAX_DATAGRAM) < wire.MAX_DATAGRAM:
            self.transport.maxPacketSize = wire.MAX_DATAGRAM
        if hasattr(self.transport, "socket"):
            _enlargeReceiveBuffer(self.transport.socket)
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
        if self.__reactor is not None:
            return self.__reactor
        try:
            return self.transport.reactor
        except AttributeError:
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
        datagram = wire.encode(self._kinds.request, msgID, (method, arguments))
        deferred = self._outstanding[msgID] = Deferred(functools.partial(self.__forget, msgID))
        if self.noisy:
            _note("calling {method} of {peer} [{msgID}]", msgID, method=method, peer=address)
        try:
            self.__transmit(msgID, datagram, address, self.__waits())
        except Exception:
            self.__forget(msgID)
            raise
        return deferred

    def __waits(self):
        return self._waitTimeout if isinstance(self._waitTimeout, (tuple, list)) else (self._waitTimeout,)

    def __transmit(self, msgID, datagram, address, waits):
        """
        Send a request, and again after each of C{waits} but the last, after which the call is given up.
        """
        rest = waits[1:]
        then = functools.partial(self.__retransmit, msgID, datagram, address, rest) if rest else None
        self.__deadlines.add(msgID, waits[0], then)
        self.__sendQueue.send(self.transport, datagram, address, self.__isInFlight)

    def __retransmit(self, msgID, datagram, address, waits):
        if self.noisy:
            _note("calling {peer} again [{msgID}]", msgID, peer=address)
        self.__transmit(msgID, datagram, address, waits)

    def __isInFlight(self, datagram, waited):
        return wire.messageID(datagram) in self._outstanding

    def _timeout(self, msgID):
        """
        Give up a call: it fires C{(False, None)}.  A message id that is not in flight is ignored.
        """
        if msgID in self._outstanding:
            if self.noisy:
                _note("no answer [{msgID}]", msgID)
            self.__fire(msgID, (False, None))

    def __fire(self, msgID, outcome):
        try:
            self._outstanding.pop(msgID).callback(outcome)
        finally:
            # Last, so that a call that is made by the callback finds the timer running, and needs no new one.
            self.__deadlines.prune()

    def __forget(self, msgID, deferred=None):
        del self._outstanding[msgID]
        self.__deadlines.prune()

    def datagramReceived(self, datagram, address):
        """
        Twisted's, for each datagram.  One that is malformed is dropped.
        """
        try:
            kind, msgID, data = wire.decode(datagram, self._kinds)
        except MalformedMessage as error:
            if self.noisy:
                _note("dropped a datagram of {peer}: {reason}", peer=address, reason=error)
            return
        if kind == self._kinds.response:
            self._acceptResponse(msgID, data, address)
            return
        if self.__duplicates is not None:
            msgID, answer = self.__duplicates.enter(msgID, datagram, address)
            if answer is not None:
                self.__answerAgain(answer, msgID, address)
                return
        if self.__beingAnswered < self.__maxConcurrent:
            self._acceptRequest(msgID, data, address)
        else:
            self.__dropRequest(msgID, address)

    def __answerAgain(self, answer, msgID, address):
        if answer:
            if self.noisy:
                _note("answering {peer} again [{msgID}]", msgID, peer=address)
            self.__sendQueue.send(self.transport, answer, address, self.__isWorthAnswering)
        elif self.noisy:
            _note("dropped a copy of a request of {peer} that has no answer [{msgID}]", msgID, peer=address)

    def __dropRequest(self, msgID, address):
        if self.__duplicates is not None:
            # A retransmission may find room.
            self.__duplicates.leave(msgID)
        if self.noisy:
            text = "dropped a request of {peer}: {count} are being answered [{msgID}]"
            _note(text, msgID, peer=address, count=self.__beingAnswered)

    def _acceptResponse(self, msgID, data, address):
        """
        Answer the call with C{msgID}.  The message id alone pairs the two, so that a peer may answer from another
        address than the one that was called.  Where no call waits for it, the response is dropped.

        @param data: the result.
        """
        if msgID in self._outstanding:
            if self.noisy:
                _note("answered by {peer} [{msgID}]", msgID, peer=address)
            self.__fire(msgID, (True, data))
        elif self.noisy:
            _note("dropped a response of {peer} that nobody waits for [{msgID}]", msgID, peer=address)

    def _acceptRequest(self, msgID, data, address):
        """
        Have the handler carry out a request, and answer it.

        @param data: C{[method, arguments]}.
        """
        method, arguments = data
        transport = self.transport
        try:
            result = carryOut(self, method, address, arguments)
            if isinstance(result, _LATER):
                self.__answerLater(result, transport, method, msgID, address)
            elif self.transport is transport:
                self._sendResponse(result, msgID, address)
        except Refused as reason:
            if self.noisy:
                text = "refused {method!r} to {peer}: {reason} [{msgID}]"
                _note(text, msgID, method=method, peer=address, reason=reason)
        except BaseException:
            _logFailure(Failure(), method, address)

    def __answerLater(self, result, transport, method, msgID, address):
        def finish(result):
            self.__beingAnswered -= 1
            return result

        def answer(result):
            # Only through the port that took the request: it may be closed by now.
            if self.transport is transport:
                self._sendResponse(result, msgID, address)

        self.__beingAnswered += 1
        if not isinstance(result, Deferred):
            result = ensureDeferred(result)
        result.addBoth(finish).addCallback(answer).addErrback(_logFailure, method, address)

    def _sendResponse(self, response, msgID, address):
        """
        Send the response to the request with C{msgID}.

        @param response: the result.

        @raise MalformedMessage: if it cannot be serialised or is too long (see L{wire.encode}).
        """
        datagram = wire.encode(self._kinds.response, msgID, response)
        if isinstance(msgID, RequestID):
            self.__duplicates.answered(msgID, datagram)
        if self.noisy:
            _note("answering {peer} [{msgID}]", msgID, peer=address)
        self.__sendQueue.send(self.transport, datagram, address, self.__isWorthAnswering)

    def __isWorthAnswering(self, datagram, waited):
        # How long the caller waits is not ours to know; peers of one network are likely to agree.
        return waited < sum(self.__waits())

    def __noteLoss(self, datagram, address, reason):
        if self.noisy:
            msgID = wire.messageID(datagram)
            _note("lost a datagram to {peer}: {reason} [{msgID}]", msgID, peer=address, reason=reason)


def _note(text, msgID=b"", **fields):
    log.info(text, msgID=binascii.hexlify(msgID).decode("ascii"), **fields)


def _logFailure(failure, method, peer):
    log.failure("rpc_{method}, called by {peer}, has no answer", failure, method=method, peer=peer)


def _enlargeReceiveBuffer(socket):
    """
    Have the operating system keep more of what arrives faster than it is read.  By default, a hundred answers at once
    are too many for Linux.
    """
    try:
        if socket.getsockopt(SOL_SOCKET, SO_RCVBUF) < _RECEIVE_BUFFER:
            socket.setsockopt(SOL_SOCKET, SO_RCVBUF, _RECEIVE_BUFFER)
    except error:
        # Then it has to do as it is.
        pass


def _checkAddress(address, transport):
    """
    @return: C{address} as a socket wants it.
    @rtype: L{tuple} of an IP and a port

    @raise ValueError: if it is no such pair, or C{transport} cannot reach it.
    """
    if not isinstance(address, (tuple, list)) or len(address) != 2:
        raise ValueError("address is {!r}, and not an (ip, port) pair".format(address))
    host, port = address
    if isinstance(host, _TEXT) and (isIPAddress(host) or host == _BROADCAST):
        version, other = 4, AF_INET6
    elif isinstance(host, _TEXT) and isIPv6Address(host):
        version, other = 6, AF_INET
    else:
        raise ValueError("address is {!r}, and its first part not an IP address".format(address))
    if not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError("address is {!r}, and its second part not a port from 1 to 65535".format(address))
    if getattr(transport, "addressFamily", None) == other:
        raise ValueError("address is {!r}, and the port does not speak IPv{}".format(address, version))
    return host, port
