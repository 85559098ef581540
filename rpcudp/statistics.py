"""
How many calls, requests and datagrams a protocol has had so far, for whoever operates a node.

They are plain integers, counted where a thing happens, and read when somebody asks: nothing here is called back, and
nothing is computed that nobody asks for.  What follows from others is not counted: a call has ended in one of three
ways, or is in flight.  Rates are differences of what was read at two times.
"""

from collections import namedtuple

__all__ = ["Statistics", "statistics"]

_COUNTED = ["answered", "unanswered", "cancelled", "resent"]
_COUNTED += ["requests", "served", "failed", "repeated", "refused", "dropped"]
_COUNTED += ["bytesReceived", "malformed", "unexpected", "datagramsSent", "bytesSent", "lost"]

# What is there now, and what follows from the others.
_PRESENT = ["inFlight", "beingAnswered", "remembered", "waiting"]
_DERIVED = ["called", "datagramsReceived"]


class Counters(object):
    """
    What of L{Statistics} is counted, and neither looked up nor derived: of one protocol, since that was made.
    """

    __slots__ = _COUNTED

    def __init__(self):
        for name in _COUNTED:
            setattr(self, name, 0)


class Statistics(namedtuple("Statistics", _COUNTED + _PRESENT + _DERIVED)):
    """
    What has happened since a protocol was made, in whole numbers, and what is there now.

    The calls: C{called == answered + unanswered + cancelled + inFlight}.

    @ivar called: calls that returned a Deferred.
    @ivar answered: of these, those that were answered.
    @ivar unanswered: those that were given up, as there was no answer in time or the port was closed.
    @ivar cancelled: those whose Deferreds were cancelled before they had ended otherwise.
    @ivar inFlight: those that have not ended.
    @ivar resent: copies of requests, besides the first of each.

    The requests: C{requests == served + failed + repeated + refused + dropped + beingAnswered}.

    @ivar requests: well-formed requests that came, copies included.
    @ivar served: those that were answered by what a handler returned.
    @ivar failed: those whose handler failed, had a result that cannot be sent, or finished after the port was closed.
    @ivar repeated: copies of requests that are remembered; they are answered again where there is an answer.
    @ivar refused: those for no such method, or with arguments that do not fit it.
    @ivar dropped: those for which there was no place, of C{maxConcurrent}, or no room for their arguments.
    @ivar beingAnswered: those whose handlers are running, or have returned what has no result yet.
    @ivar remembered: requests in the duplicate request cache; those that have expired are in it until the next comes.

    The network: C{datagramsReceived == requests + answered + unexpected + malformed}.

    @ivar datagramsReceived: datagrams that came, but for those of strangers where the port is connected to one peer.
    @ivar bytesReceived: bytes in them.
    @ivar malformed: those that make no sense.
    @ivar unexpected: responses that no call waits for, or no longer.
    @ivar datagramsSent: datagrams that the operating system took.
    @ivar bytesSent: bytes in them.
    @ivar lost: datagrams that it refused, or that were given up while they waited for room in the send buffer.
    @ivar waiting: those that are waiting for that now.

    A subclass that overrides hooks of L{rpcudp.protocol.RPCProtocol}, such as C{_acceptRequest}, calls them itself, or
    replaces C{_outstanding}, may be outside of these sums.
    """

    __slots__ = ()


def statistics(protocol):
    """
    Count up.

    @param protocol: whose figures are asked for.
    @type protocol: L{rpcudp.protocol.RPCProtocol}

    @return: what has happened so far.
    @rtype: L{Statistics}

    @raise TypeError: if C{protocol} is no such protocol.
    """
    counters = getattr(protocol, "_rpcudpCounters", None)
    if not isinstance(counters, Counters):
        raise TypeError("protocol is {!r}, and not an RPCProtocol".format(protocol))
    figures = {name: getattr(counters, name) for name in _COUNTED}
    figures["inFlight"] = len(protocol._outstanding)
    figures["beingAnswered"] = protocol._rpcudpAnswerer.inHand
    figures["remembered"] = protocol._rpcudpAnswerer.remembered
    figures["waiting"] = len(protocol._rpcudpSendQueue.waiting)
    figures["called"] = sum(figures[name] for name in ("answered", "unanswered", "cancelled", "inFlight"))
    came = ("requests", "answered", "unexpected", "malformed")
    return Statistics(datagramsReceived=sum(figures[name] for name in came), **figures)
