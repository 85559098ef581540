"""
MessagePack by u-msgpack-python, which says what MessagePack is: it is what every published peer has on its side.

The frame of a request, which is an array of a name and of an array of arguments, is written and read here where these
are as short as usual.  u-msgpack-python takes longer for it than for an argument, and the name has been packed before.
"""

import io

import umsgpack

from rpcudp._nesting import isDeeper

# Bytes.
MAX_PAYLOAD = 8192

# Arrays and maps within each other, those of a request itself included.
MAX_DEPTH = 128

_TEXT = type(u"")

# How the payload of a request begins: an array of two.
_PAIR = b"\x92"

# By the two bytes before it, where the name of the method ends, if it has less than 32 bytes.
_NAME_ENDS = {_PAIR + bytes(bytearray([0xA0 + length])): 2 + length for length in range(32)}

# Less than 16 arguments, as many as there are by the one byte before them, and the other way round.
_ARRAYS = [bytes(bytearray([0x90 + count])) for count in range(16)]
_COUNTS = {code: count for count, code in enumerate(_ARRAYS)}

# By name, how the payloads of requests begin; how many of these are kept, and of how many bytes.
_heads = {}
_MAX_HEADS = 1000
_MAX_HEAD = max(_NAME_ENDS.values())

unpack = umsgpack.unpackb


def pack(value, method=None):
    """
    @param method: the name of a method, where C{value} is the tuple of the arguments of a request for it.

    @return: C{value}, or C{[method, value]}, as MessagePack.
    @rtype: L{bytes}

    @raise Exception: what u-msgpack-python raises, where there is no such form.
    @raise ValueError: if it nests deeper than L{MAX_DEPTH} levels, which a peer would not read.
    """
    payload = umsgpack.packb(value) if method is None else _packRequest(method, value)
    # What is too long will be refused for that; how deep it is would take long to tell.
    if len(payload) > MAX_DEPTH and len(payload) <= MAX_PAYLOAD and isDeeper(payload, MAX_DEPTH):
        raise ValueError("nested deeper than {} levels".format(MAX_DEPTH))
    return payload


def _packRequest(method, arguments):
    head = headOf(method)
    if len(arguments) >= len(_ARRAYS):
        return head + umsgpack.packb(arguments)
    file = io.BytesIO()
    file.write(head + _ARRAYS[len(arguments)])
    for argument in arguments:
        umsgpack.pack(argument, file)
    return file.getvalue()


def headOf(method):
    """
    @return: how the payload of a request for C{method} begins, up to the arguments.
    @rtype: L{bytes}
    """
    # What is not just text may be equal to another name, and other bytes.
    isPlain = type(method) is _TEXT and not umsgpack.compatibility
    head = _heads.get(method) if isPlain else None
    if head is None:
        head = _PAIR + umsgpack.packb(method)
        if isPlain and len(head) <= _MAX_HEAD:
            if len(_heads) >= _MAX_HEADS:
                _heads.clear()
            _heads[method] = head
    return head


def unpackRequest(payload):
    """
    The same as L{unpack}, for the payload of a request.
    """
    payload = bytes(payload)
    end = _NAME_ENDS.get(payload[:2])
    count = None if end is None or umsgpack.compatibility else _COUNTS.get(payload[end : end + 1])
    if count is None:
        return unpack(payload)
    try:
        method = payload[2:end].decode("utf-8")
    except UnicodeDecodeError:
        # It is refused in u-msgpack-python's own words.
        return unpack(payload)
    file = io.BytesIO(payload)
    file.seek(end + 1)
    return [method, [umsgpack.unpack(file) for _ in range(count)]]
