"""
C{rpcudp decode}: what datagrams say, and the calls in a capture.
"""

from __future__ import print_function

import binascii
import datetime
import sys
from collections import OrderedDict

from rpcudp import wire
from rpcudp._capture import NotACapture, readCapture
from rpcudp._text import UsedWrongly, complain, dumps, formatAddress, parseHex, quote, reasonOf
from rpcudp.exceptions import MalformedMessage

_NETWORKS = [(u"rpcudp", wire.RPCUDP), (u"storj", wire.STORJ)]
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
        kind = _hex(datagram[:1]) or "nothing"
        raise MalformedMessage("it begins with {}, and not with 00, 01, 02 or 03".format(kind))
    kind, msgID, value = wire.decode(datagram, kinds)
    said = OrderedDict([(u"network", network), (u"kind", u"response"), (u"id", _hex(msgID))])
    if kind == kinds.request:
        said[u"kind"] = u"request"
        said[u"method"], said[u"arguments"] = value
    else:
        said[u"result"] = value
    return said


def _hex(data):
    return binascii.hexlify(data).decode("ascii")


def decode(texts):
    """
    Print for each datagram what it says, as a line of JSON.

    @param texts: the datagrams, in hexadecimal digits with or without spaces.  Those that are empty are passed over.
    @type texts: iterable

    @return: the exit status: 0; 1 if one says nothing; 2 if one is not hexadecimal.
    """
    status = 0
    for number, text in enumerate(texts, 1):
        digits = u"".join(text.split())
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

    @ivar copies: how many requests there are, byte for byte the same.
    @ivar responses: how many responses there are.
    @ivar seconds: from the first request to the first response.
    """

    def __init__(self, time, source, destination, method):
        self.time = time
        self.source = source
        self.destination = destination
        self.method = method
        self.copies = self.responses = 0
        self.seconds = None

    def __str__(self):
        outcome = "answered in {:.3f} ms".format(self.seconds * 1000) if self.responses else "unanswered"
        outcome += ", 1 copy" if self.copies == 1 else ", {} copies".format(self.copies)
        # Such as to retransmissions, or where the first got lost behind the place of the capture.
        outcome += ", {} responses".format(self.responses) if self.responses > 1 else ""
        return "{:%Y-%m-%dT%H:%M:%S.%f}Z {} > {} {} {}".format(
            datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=self.time),
            formatAddress(self.source),
            formatAddress(self.destination),
            # Without the quotes.
            dumps(self.method)[1:-1],
            outcome,
        )


def _findCalls(datagrams, calls):
    """
    Fill C{calls}.  A request is a copy of another one if it has the same sender, receiver and bytes.  What has its
    message id, and goes where it came from, is a response to it, whoever sends it; but if there are several such
    requests, one to that sender comes first.

    @return: how many datagrams were captured in part.
    """
    incomplete = 0
    # By what begins the response, whom it is for, and who sends it or nobody.
    callsByResponse = {}
    for time, source, destination, data, isWhole in datagrams:
        if isWhole:
            try:
                said = explain(data)
            except MalformedMessage:
                continue
            if said[u"kind"] == u"request":
                call = calls.setdefault((source, destination, data), _Call(time, source, destination, said[u"method"]))
                call.copies += 1
                header = _RESPONSES[data[:1]] + wire.messageID(data)
                callsByResponse[header, source, destination] = callsByResponse[header, source, None] = call
                continue
        else:
            incomplete += 1
        header = data[: wire.HEADER_LENGTH]
        call = callsByResponse.get((header, destination, source)) or callsByResponse.get((header, destination, None))
        if call is not None:
            call.responses += 1
            if call.responses == 1:
                call.seconds = time - call.time
    return incomplete


def decodeCapture(path):
    """
    Print a line for each call in a capture file, in the order in which they began.

    @return: the exit status: 0; 1 if there is no call.

    @raise UsedWrongly: if it cannot be read, or no further; then after the calls up to there.
    """
    calls = OrderedDict()
    incomplete, problem = 0, None
    try:
        with open(path, "rb") as file:
            incomplete = _findCalls(readCapture(file), calls)
    except EnvironmentError as error:
        problem = reasonOf(error)
    except NotACapture as error:
        problem = error
    for call in calls.values():
        print(call)
    if problem is not None:
        raise UsedWrongly("{} cannot be read{}: {}".format(quote(path), " any further" if calls else "", problem))
    if incomplete:
        text = "{} datagrams were captured in part; what there is of requests among them is passed over"
        complain("decode", text.format(incomplete))
    if not calls:
        complain("decode", "there is no call in {}".format(quote(path)))
    return 0 if calls else 1
