"""
RPCProtocol: calls that go out, and handlers that answer those that come in.

How a call travels::

    caller                                            answerer
    protocol.sayhi(address, name)                     datagramReceived
      Caller.call                                       DuplicateRequestCache.identify: is it a copy?
        wire.makeDatagram, SendQueue  --request-->      wire.decodePayload
        a Deferred in _outstanding                      Answerer.receive: is there room for it?
    datagramReceived                                  _acceptRequest
      wire.decodePayload                                carryOut: rpc_sayhi(sender, name)
    _acceptResponse             <----response-----    _sendResponse
      Caller.end fires the Deferred                     wire.makeDatagram, SendQueue

What each file owns: C{wire} the datagrams, with C{_codec} for their payloads, C{_fastcodec} to have those sooner, and
C{_nesting} to know how deep they go; C{_calling} the caller's half, with C{_deadlines} for how long calls wait;
C{_answering} the answerer's, with C{_duplicates} for which requests came before, C{_sharing} for how much may be in
hand, and C{_handlers} for the way from a request to its handler; C{_sending} what the operating system makes of
datagrams; C{_addresses} where they can go; C{_logging} what is said of them; C{statistics} how many of everything there
were; C{roundtrip} waits that know the peer, and C{calls} one call by itself; and this one the interface, the hooks and
the way in.

Names: the public namespace of L{RPCProtocol} belongs to the application, as every public name on it hides a remote
method.  Six private names are for subclasses too: C{_waitTimeout}, C{_outstanding}, C{_acceptRequest},
C{_acceptResponse}, C{_sendResponse} and C{_timeout}.  The rest begin with C{_rpcudp}, so that no subclass hits one of
them by accident, whatever it is called itself.
"""

import functools
import sys
from builtins import int
from numbers import Real
from socket import SO_RCVBUF, SOL_SOCKET, error

from twisted.internet.protocol import DatagramProtocol

from rpcudp import wire
from rpcudp._addresses import connectedPeer
from rpcudp._answering import Answerer
from rpcudp._calling import Caller
from rpcudp._logging import note, noteMalformed
from rpcudp._sending import SendQueue
from rpcudp.statistics import Counters

# Bytes.
_RECEIVE_BUFFER = 1 << 20


class RPCProtocol(DatagramProtocol, object):
    """
    Calls the methods of its peers, and has its own called by them.

    C{protocol.anything(address, *arguments)} asks the peer at C{address}, an C{(ip, port)} pair, for C{anything}, and
    returns a L{Deferred}.  It fires with C{(True, result)}, or with C{(False, None)} where no answer came in time: on
    UDP an ordinary outcome, and no failure.  It fails only when it is cancelled, with
    L{twisted.internet.defer.CancelledError}.  The call itself raises, and leaves nothing behind,

      - L{RuntimeError}, if this protocol does not listen on a port;
      - L{twisted.internet.error.InvalidAddressError}, a L{ValueError}, if C{address} is no C{(ip, port)} pair, of
        another IP version than the port, or not the one that the port is connected to;
      - L{rpcudp.exceptions.MalformedMessage}, if the arguments cannot be serialised, are too long, or nest too deep
        (see L{wire.encode}).

    A method C{rpc_NAME(self, sender, *arguments)} of a subclass is open to the network.  C{sender} is the C{(ip, port)}
    pair of the caller.  What it returns is the answer, at once or, from a L{Deferred}, a coroutine or an asyncio
    C{Future}, later.  If it fails, or its result cannot be sent, that is logged and there is no answer.

    @cvar noisy: whether the log tells the life of each datagram, and not only what the application did wrong.
    @type noisy: L{bool}

    @cvar _rpcudpKinds: the network that this class speaks to.
    @type _rpcudpKinds: L{wire.Kinds}

    @ivar _waitTimeout: for how long a call waits, as C{__init__} takes it.  It may be replaced at any time, and holds
        for the calls after that.

    @ivar _outstanding: the calls in flight: by message id, the L{Deferred} of each.  A subclass may replace it by
        another one; calls in flight that are not in that are forgotten, and their Deferreds never fire.
    @type _outstanding: L{dict}
    """

    noisy = False
    _rpcudpKinds = wire.RPCUDP

    def __init__(self, waitTimeout=5, reactor=None, maxConcurrent=1000, duplicateLifetime=60):
        """
        @param waitTimeout: for how many seconds a call waits for its answer.  Or a schedule: the request is sent, and
            sent again after each of these waits but the last, after which the call is given up.  Or an object that
            knows the peers (see L{rpcudp._calling}), such as L{rpcudp.roundtrip.RoundTripWaits}, whose method
            C{waits(address)} is called once for each call, and returns a number or a schedule; what it raises is raised
            at the call.
        @type waitTimeout: a positive, finite number, a L{tuple} or L{list} of such, or an object with a method
            C{waits}

        @param reactor: the clock of the calls.  By default it is the reactor of the port that the protocol listens on.
        @type reactor: provider of L{twisted.internet.interfaces.IReactorTime}

        @param maxConcurrent: how many requests are being answered at one time, their handlers' Deferreds not yet fired.
            Anyone can send requests, so there has to be an end; one above it is dropped.  So is one whose sender holds
            as many places as are free (see L{rpcudp._sharing}): one sender alone gets half of them.
        @type maxConcurrent: positive L{int}

        @param duplicateLifetime: for how many seconds a request is remembered, so that a copy of it is not carried out
            again (see L{rpcudp._duplicates}); 0 turns that off.
        @type duplicateLifetime: a finite number, not negative

        @raise TypeError: if C{waitTimeout} is no number, schedule or such an object, C{reactor} has no C{callLater},
            C{maxConcurrent} is no integer, or C{duplicateLifetime} no number.
        @raise ValueError: if C{waitTimeout} is empty or has a wait that is zero, negative or not finite,
            C{maxConcurrent} is less than 1, or C{duplicateLifetime} is negative or not finite.
        """
        self._waitTimeout = waitTimeout
        self._outstanding = {}
        clock = functools.partial(_findClock, self, reactor)
        counters = self._rpcudpCounters = Counters()
        sendQueue = self._rpcudpSendQueue = SendQueue(clock, counters, functools.partial(_noteLoss, self))
        # It looks whether waitTimeout is right.
        self._rpcudpCaller = Caller(self, clock, sendQueue, counters)
        if reactor is not None and not hasattr(reactor, "callLater"):
            raise TypeError("reactor is {!r}, and has no callLater".format(reactor))
        if not isinstance(maxConcurrent, int):
            raise TypeError("maxConcurrent is {!r}, and not an integer".format(maxConcurrent))
        if maxConcurrent < 1:
            raise ValueError("maxConcurrent is {!r}, and 1 is the least".format(maxConcurrent))
        if not isinstance(duplicateLifetime, Real):
            raise TypeError("duplicateLifetime is {!r}, and not a number of seconds".format(duplicateLifetime))
        if not 0 <= duplicateLifetime <= sys.float_info.max:
            raise ValueError("duplicateLifetime is {!r} seconds, and negative or not finite".format(duplicateLifetime))
        patience = self._rpcudpCaller.patience
        self._rpcudpAnswerer = Answerer(self, clock, patience, sendQueue, counters, maxConcurrent, duplicateLifetime)
        request, response = self._rpcudpKinds
        self._rpcudpReceivers = {request[0]: self._rpcudpAnswerer.receive, response[0]: self._rpcudpCaller.receive}

    def __getattr__(self, name):
        """
        @return: the remote method called C{name}: a function of an C{(ip, port)} pair and the arguments.

        @raise AttributeError: if C{name} begins with C{_} or C{rpc_}, as it is then no remote method's.
        """
        if name.startswith(("_", "rpc_")):
            raise AttributeError("{!r} object has no attribute {!r}".format(type(self).__name__, name))
        return functools.partial(self._rpcudpCaller.call, None, name)

    def doStart(self):
        """
        Called by Twisted when a port has taken this protocol.  The port receives no more than 8192 bytes by default,
        and so would cut a payload that has this length itself.
        """
        transport = self.transport
        if getattr(transport, "maxPacketSize", wire.MAX_DATAGRAM) < wire.MAX_DATAGRAM:
            transport.maxPacketSize = wire.MAX_DATAGRAM
        # A simulated network has a generator of its own (see L{rpcudp.testing}), and nothing else has.
        self._rpcudpCaller.newMessageID = getattr(transport, "_rpcudpNewMessageID", wire.newMessageID)
        if hasattr(transport, "socket"):
            _enlargeReceiveBuffer(transport.socket)
            _noticeConnection(transport)
        DatagramProtocol.doStart(self)

    def doStop(self):
        """
        Called by Twisted when the port is closed.  Every call in flight is given up, no timer stays behind, and the
        protocol may listen again, even in C{stopProtocol}.
        """
        inFlight = self._rpcudpCaller.stop()
        try:
            DatagramProtocol.doStop(self)
        finally:
            self._rpcudpCaller.giveUp(inFlight)

    def _timeout(self, msgID):
        """
        Give up a call: it fires C{(False, None)}.  A message id that is not in flight is ignored.

        A subclass that overrides this without calling it has calls that never end.

        @param msgID: the message id.
        @type msgID: L{bytes}, 20 of them
        """
        if msgID in self._outstanding:
            if self.noisy:
                note("no answer [{msgID}]", msgID)
            self._rpcudpCaller.end(msgID, (False, None))

    def datagramReceived(self, datagram, addr):
        """
        Called by Twisted for each datagram.  One that is malformed is dropped, and so is one of a stranger that came
        before the port was connected.  Nothing is raised, whatever the bytes are.

        @type datagram: L{bytes}

        @param addr: where it came from, as Twisted has it.
        @type addr: L{tuple} of a native L{str} and an L{int}, and for IPv6 more
        """
        if getattr(self.transport, "_connectedAddr", self) is not None:
            peer = connectedPeer(self.transport)
            if peer is not None and peer[:2] != addr[:2]:
                return
        self._rpcudpCounters.bytesReceived += len(datagram)
        try:
            receive = self._rpcudpReceivers[datagram[0]]
        except LookupError:
            pass
        else:
            receive(datagram, addr)
            return
        self._rpcudpCounters.malformed += 1
        if self.noisy:
            text = "kind is {!r}, neither {!r} nor {!r}".format(datagram[:1], *self._rpcudpKinds)
            noteMalformed(text, addr)

    def _acceptResponse(self, msgID, data, address):
        """
        Answer the call with C{msgID}.  The message id alone pairs the two, so that a peer may answer from another
        address than the one that was called.  Where no call waits for it, the response is dropped; this is not even
        called then for what came from the network.

        @param msgID: the message id.
        @type msgID: L{bytes}, 20 of them

        @param data: the result.
        @type data: whatever MessagePack carries

        @param address: where the response came from.
        @type address: L{tuple} of an IP and a port
        """
        if self.noisy and msgID in self._outstanding:
            note("answered by {peer} [{msgID}]", msgID, peer=address)
        self._rpcudpCaller.end(msgID, (True, data))

    def _acceptRequest(self, msgID, data, address):
        """
        Have the handler carry out a request, and answer it.  This is done once for each request, however often it is
        called for it within C{duplicateLifetime}; for copies it sends the answer again.

        A subclass may call this later, or not at all: then a copy of the request is handed to it again.  What it holds
        meanwhile is not counted by C{maxConcurrent}.  C{msgID} and C{address} have to be those that it was given, or
        equal ones; but two requests to which one sender gave the same message id are told apart by the very C{msgID}
        alone.

        @param msgID: the message id.
        @type msgID: L{bytes}, 20 of them

        @param data: C{[method, arguments]}.
        @type data: L{list} of a text and a L{list}

        @param address: where the request came from.
        @type address: L{tuple} of an IP and a port
        """
        self._rpcudpAnswerer.accept(msgID, data, address)

    def _sendResponse(self, response, msgID, address):
        """
        Send the response to the request with C{msgID}, and remember it for the copies of that.

        A subclass that sends responses without calling this has copies of the request dropped, as no answer to them is
        known here; they are not carried out again.  It may call this later, with C{msgID} and C{address} as it was
        given them (see L{_acceptRequest}).

        @param response: the result.
        @type response: whatever MessagePack carries

        @param msgID: the message id.
        @type msgID: L{bytes}, 20 of them

        @param address: where the request came from.
        @type address: L{tuple} of an IP and a port

        @raise MalformedMessage: if it cannot be serialised, is too long or nests too deep (see L{wire.encode}).
        """
        self._rpcudpAnswerer.respond(response, msgID, address)


def _findClock(protocol, reactor):
    """
    @return: C{reactor}, or, where it is C{None}, that of the port that C{protocol} listens on, or else the global one.
    """
    if reactor is not None:
        return reactor
    try:
        return protocol.transport.reactor
    except AttributeError:
        # Here, because the import installs a reactor.
        from twisted.internet import reactor

        return reactor


def _noteLoss(protocol, datagram, address, reason):
    if protocol.noisy:
        msgID = wire.messageID(datagram)
        note("lost a datagram to {peer}: {reason} [{msgID}]", msgID, peer=address, reason=reason)


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


def _noticeConnection(transport):
    """
    Have Twisted know that an adopted socket is connected already, which it does not look for.
    """
    peer = connectedPeer(transport)
    if peer is not None and getattr(transport, "_connectedAddr", peer) is None:
        try:
            transport.connect(*peer[:2])
        except error:
            # It stays connected, and Twisted knows.
            pass
