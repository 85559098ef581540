"""
C{rpcudp decode}: what datagrams say, and the calls in a capture.
"""

from __future__ import print_function

import datetime
import re
import sys
from collections import OrderedDict

import umsgpack

from rpcudp import wire
from rpcudp._capture import NotACapture, readCapture
from rpcudp._text import UsedWrongly, complain, dumps, formatAddress, parseHex, quote, reasonOf, toHex
from rpcudp.exceptions import MalformedMessage

_NETWORKS = [(u"rpcudp", wire.RPCUDP), (u"storj", wire.STORJ)]
_KINDS = frozenset(kind for _, kinds in _NETWORKS for kind in kinds)
_RESPONSES = {kinds.request: kinds.response for _, kinds in _NETWORKS}


def explain(datagram):
    """
    @return: what a datagram says, in the order in which that is written: the network, the kind, the message id, and the
        method and the arguments, or the result.
    @rtype: L{OrderedDict}

    @raise MalformedMessage: if it is a datagram of neither network.
    """
    for network, kinds in _NETWORKS:
        if datagram[:1] in kinds:
            break
    else:
        kind = toHex(datagram[:1]) or "nothing"
        raise MalformedMessage("it begins with {}, and not with 00, 01, 02 or 03".format(kind))
    kind, msgID, value = wire.decode(datagram, kinds)
    said = OrderedDict([(u"network", network), (u"kind", u"response"), (u"id", toHex(msgID))])
    if kind == kinds.request:
        said[u"kind"] = u"request"
        said[u"method"], said[u"arguments"] = value
    else:
        said[u"result"] = value
    return said


def decode(texts):
    """
    Print for each datagram what it says, as a line of JSON.

    @param texts: the datagrams, in hexadecimal digits, with or without spaces and colons between them.  Those that are
        empty are passed over.
    @type texts: iterable

    @return: the exit status: 0; 1 if one says nothing; 2 if one is not hexadecimal.
    """
    status = 0
    for number, text in enumerate(texts, 1):
        # As other tools write them.
        digits = re.sub(u"[\\s:]", u"", text)
        try:
            if digits:
                print(dumps(explain(parseHex(digits))))
                # Where the datagrams come one by one, so do the lines.
                sys.stdout.flush()
        except UsedWrongly as error:
            complain("decode", "number {}: {}".format(number, error))
            status = 2
        except MalformedMessage as error:
            complain("decode", "number {} is no datagram of these networks: {}".format(number, error))
            status = max(status, 1)
    return status


class _Call(object):
    """
    A call as it was captured.

    @ivar request: the request, of which the end may be missing.
    @ivar isWhole: whether it is not.
    @ivar copies: how many requests there are, byte for byte the same as far as they were captured.
    @ivar responses: how many responses there are.
    @ivar seconds: from the first request to the first response.
    """

    def __init__(self, time, source, destination, request, isWhole, method):
        self.time = time
        self.source = source
        self.destination = destination
        self.request = request
        self.isWhole = isWhole
        self.method = method
        self.copies = self.responses = 0
        self.seconds = None

    def __str__(self):
        outcome = "answered in {:.3f} ms".format(self.seconds * 1000) if self.responses else "unanswered"
        outcome += ", 1 copy" if self.copies == 1 else ", {} copies".format(self.copies)
        # As where a retransmission was answered too, or the first response was lost after the point of the capture.
        outcome += ", {} responses".format(self.responses) if self.responses > 1 else ""
        method = dumps(self.method)
        return "{:%Y-%m-%dT%H:%M:%S.%f}Z {} > {} {} {}, id {}".format(
            datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=self.time),
            formatAddress(self.source),
            formatAddress(self.destination),
            # Without the quotes, unless it could be read as something else.
            method[1:-1] if re.match(r"\"[\w.-]+\"\Z", method) else method,
            outcome,
            toHex(wire.messageID(self.request)),
        )

    def isSameAs(self, request, isWhole):
        """
        @return: whether a request may be a copy, where one of the two was captured in part.
        """
        length = min(len(self.request), len(request))
        return not (self.isWhole and isWhole) and self.request[:length] == request[:length]


def _findCalls(datagrams):
    """
    A request is a copy of another one if it has the same sender, receiver and bytes; of those that were captured in
    part, the latest is compared as far as both go.  What has its message id, and goes where it came from, is a response
    to it, whoever sends it; but if there are several such requests, one to that sender comes first.

    @param datagrams: as L{readCapture} has them, in the order of their times.

    @return: the calls, in the order in which they began.
    @rtype: L{list} of L{_Call}
    """
    calls, callsByRequest = [], {}
    # By what begins the response, whom it is for, and who sends it or nobody.
    callsByResponse = {}
    for time, source, destination, data, isWhole in datagrams:
        try:
            method = explain(data).get(u"method") if isWhole else _methodOf(data)
        except MalformedMessage:
            continue
        header = data[: wire.HEADER_LENGTH]
        if header[:1] in _RESPONSES:
            response = _RESPONSES[header[:1]] + wire.messageID(data)
            call = callsByRequest.get((source, destination, data))
            if call is None:
                call = callsByResponse.get((response, source, destination))
                if call is None or not call.isSameAs(data, isWhole):
                    call = _Call(time, source, destination, data, isWhole, method)
                    calls.append(call)
                elif isWhole:
                    call.request, call.isWhole = data, True
                callsByRequest[source, destination, data] = call
            call.copies += 1
            callsByResponse[response, source, destination] = callsByResponse[response, source, None] = call
            continue
        call = callsByResponse.get((header, destination, source)) or callsByResponse.get((header, destination, None))
        if call is not None:
            call.responses += 1
            if call.responses == 1:
                call.seconds = time - call.time
    return calls


def _methodOf(beginning):
    """
    @return: the method of a request of which the end is missing, C{None} for a response.

    @raise MalformedMessage: if there is not so much of it.
    """
    if beginning[:1] not in _RESPONSES:
        return None
    try:
        # An array of two, and the first of them; what follows a value is ignored.
        method = umsgpack.unpackb(beginning[wire.HEADER_LENGTH + 1 :])
    except Exception as error:
        raise MalformedMessage("there is no method: {!r}".format(error))
    if beginning[wire.HEADER_LENGTH : wire.HEADER_LENGTH + 1] != b"\x92" or not isinstance(method, type(u"")):
        raise MalformedMessage("it does not begin with a method")
    return method


def decodeCapture(path):
    """
    Print a line for each call in a capture file, in the order in which they began.

    @return: the exit status: 0; 1 if there is no call.

    @raise UsedWrongly: if it cannot be read, or no further; then after the calls up to there.
    """
    datagrams, passedOver, problem = [], set(), None
    try:
        with open(path, "rb") as file:
            # One by one, so that those before what cannot be read are there.
            for datagram in readCapture(file, passedOver):
                if datagram[3][:1] in _KINDS:
                    datagrams.append(datagram)
    # Of the name, where Python 2 cannot say it to the system, a UnicodeError.
    except (EnvironmentError, UnicodeError, NotACapture) as error:
        problem = reasonOf(error)
    # Of what has the same time, requests first, as those in part have been read last.
    datagrams.sort(key=lambda datagram: (datagram[0], datagram[3][:1] not in _RESPONSES))
    calls = _findCalls(datagrams)
    for call in calls:
        print(call)
    if passedOver:
        linkTypes = ", ".join(map(str, sorted(passedOver)))
        complain("decode", "packets of link type {} are not read here, and were passed over".format(linkTypes))
    if problem is not None:
        raise UsedWrongly("{} cannot be read{}: {}".format(quote(path), " any further" if calls else "", problem))
    if not all(isWhole for _, _, _, _, isWhole in datagrams):
        complain("decode", "some datagrams are there in part only; what is missing was not captured")
    if not calls:
        complain("decode", "there is no call in {}".format(quote(path)))
    return 0 if calls else 1
