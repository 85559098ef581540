"""
The datagram format: bytes in, values out.  Nothing here knows a socket, a clock or Twisted.

A call is two datagrams, a request and the response to it.  Both are::

    1 byte    kind: request or response, and of which network (Kinds)
    20 bytes  message id: random, chosen by the caller, repeated in the response
    the rest  payload: one MessagePack value of at most 8192 bytes; for a
              request [method, [argument, ...]], for a response the result

The facts that this rests on:

  - C{method} is MessagePack I{str} on every interpreter.  Of the arguments and results, text is I{str} and bytes are
    I{bin}; a native C{str} of Python 2 is bytes.  Tuples and lists are both I{array}, and arrive as lists.
  - u-msgpack-python decides what is MessagePack, because it is what every published peer has on its side of the wire.
  - What follows the first value of a payload is ignored.  A value that does not end within 8192 bytes is malformed,
    however large the receive buffer: the published packages cut a datagram at about that length, and send none longer.
  - What travels nests at most 128 levels deep; C{rpcudp._nesting} says why.
  - 160 random bits are all that pairs a response with its request, so they come from the operating system's generator.
"""

import os
from builtins import str
from collections import namedtuple

from rpcudp._codec import MAX_DEPTH, MAX_PAYLOAD
from rpcudp._nesting import isDeeper
from rpcudp.exceptions import MalformedMessage

try:
    from rpcudp._fastcodec import pack, unpack, unpackRequest
except Exception:
    # Whatever is wrong with what is installed, it is not asked for.
    from rpcudp._codec import pack, unpack, unpackRequest


__all__ = ["HEADER_LENGTH", "ID_LENGTH", "MAX_DATAGRAM", "MAX_DEPTH", "MAX_PAYLOAD", "RPCUDP", "STORJ", "Kinds"]
__all__ += ["decode", "decodePayload", "encode", "messageID", "newMessageID"]


class Kinds(namedtuple("Kinds", ["request", "response"])):
    """
    The two kind bytes of a network.  Peers of different networks do not hear each other.

    @ivar request: the first byte of a request.
    @ivar response: the first byte of a response.
    """

    __slots__ = ()


RPCUDP = Kinds(request=b"\x00", response=b"\x01")
STORJ = Kinds(request=b"\x02", response=b"\x03")

# All in bytes.
ID_LENGTH = 20
HEADER_LENGTH = 1 + ID_LENGTH
MAX_DATAGRAM = HEADER_LENGTH + MAX_PAYLOAD

# Where they are in a datagram.
MESSAGE_ID = slice(1, HEADER_LENGTH)
_PAYLOAD = slice(HEADER_LENGTH, MAX_DATAGRAM)


def newMessageID():
    """
    @return: a message id that nobody can guess.
    @rtype: L{bytes}, L{ID_LENGTH} of them
    """
    return os.urandom(ID_LENGTH)


def messageID(datagram):
    """
    @type datagram: L{bytes}

    @return: the message id in it; shorter than L{ID_LENGTH} where the datagram is.
    @rtype: L{bytes}
    """
    return datagram[MESSAGE_ID]


def encode(kind, msgID, value):
    """
    @param kind: one of a network's L{Kinds}.
    @type kind: L{bytes}, one

    @param msgID: the message id.
    @type msgID: L{bytes}, L{ID_LENGTH} of them

    @param value: C{[method, arguments]} for a request, the result for a response.
    @type value: whatever MessagePack carries

    @return: the datagram.
    @rtype: L{bytes}, at most L{MAX_DATAGRAM} of them

    @raise MalformedMessage: if C{value} has no MessagePack form, or one that is longer than L{MAX_PAYLOAD} bytes or
        deeper than L{MAX_DEPTH} levels, which the peer would drop.
    """
    return makeDatagram(kind, msgID, value)


def makeDatagram(kind, msgID, value, method=None):
    """
    The same as L{encode}; for the two halves of a protocol.

    @param method: the name of the method, where C{value} is the tuple of the arguments of a request.  A name that was
        packed before is not packed again.
    @type method: text
    """
    try:
        payload = pack(value, method)
    except Exception as error:
        # Besides u-msgpack's own refusals: recursion too deep, text that is not Unicode, and whatever is raised by the
        # code of the application's own types.
        raise MalformedMessage("cannot be serialised: {!r}".format(error))
    if len(payload) > MAX_PAYLOAD:
        excess = len(payload) - MAX_PAYLOAD
        raise MalformedMessage("payload is {} bytes, {} over the limit of {}".format(len(payload), excess, MAX_PAYLOAD))
    return kind + msgID + payload


def decode(datagram, kinds):
    """
    The reverse of L{encode}, for what comes from strangers.

    @type datagram: L{bytes}

    @param kinds: the network to which the datagram should belong.
    @type kinds: L{Kinds}

    @return: the kind, the message id and the value.  The value of a request is C{[method, arguments]}, a text and a
        list.
    @rtype: L{tuple}

    @raise MalformedMessage: and nothing else, for every datagram that is none of the network's.
    """
    kind = datagram[:1]
    if kind not in kinds:
        raise MalformedMessage("kind is {!r}, neither {!r} nor {!r}".format(kind, kinds.request, kinds.response))
    return kind, messageID(datagram), decodePayload(datagram, kind == kinds.request)


def decodePayload(datagram, isRequest):
    """
    The part of L{decode} that takes time: for a datagram whose kind and message id are known already.

    @type datagram: L{bytes}

    @param isRequest: whether it is to be a request.
    @type isRequest: L{bool}

    @return: the value.
    @rtype: whatever MessagePack carries

    @raise MalformedMessage: as L{decode} does.
    """
    payload = datagram[_PAYLOAD]
    if not payload:
        raise MalformedMessage("datagram is {} bytes, and {} are the least".format(len(datagram), HEADER_LENGTH + 1))
    # Every level takes a byte.
    if len(payload) > MAX_DEPTH and isDeeper(payload, MAX_DEPTH):
        raise MalformedMessage("payload is nested deeper than {} levels".format(MAX_DEPTH))
    try:
        value = unpackRequest(payload) if isRequest else unpack(payload)
    except Exception as error:
        # Besides u-msgpack's own refusals: dates that Python has not, and what else there may be.
        raise MalformedMessage("payload does not begin with a MessagePack value: {!r}".format(error))
    if isRequest and not (
        isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], list)
    ):
        raise MalformedMessage("request is not [method, [argument, ...]]")
    return value
