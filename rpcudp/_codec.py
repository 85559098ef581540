"""
MessagePack by u-msgpack-python, which says what MessagePack is: it is what every published peer has on its side.
"""

import umsgpack

from rpcudp._nesting import isDeeper

# Bytes.
MAX_PAYLOAD = 8192

# Arrays and maps within each other, those of a request itself included.
MAX_DEPTH = 128

# By the first two bytes of a request, where the name of its method ends: names of less than 32 bytes, as most are.
_NAME_ENDS = {bytes(bytearray([0x92, 0xA0 + length])): 2 + length for length in range(32)}

unpack = umsgpack.unpackb


def pack(value, head=b""):
    """
    @param head: MessagePack that C{value} completes.

    @return: C{head}, and C{value} as MessagePack.
    @rtype: L{bytes}

    @raise Exception: what u-msgpack-python raises, where C{value} has no such form.
    @raise ValueError: if both together nest deeper than L{MAX_DEPTH} levels, which a peer would not read.
    """
    payload = head + umsgpack.packb(value)
    # What is too long will be refused for that; how deep it is would take long to tell.
    if len(payload) > MAX_DEPTH and len(payload) <= MAX_PAYLOAD and isDeeper(payload, MAX_DEPTH):
        raise ValueError("nested deeper than {} levels".format(MAX_DEPTH))
    return payload


def unpackRequest(payload):
    """
    @return: the same as L{unpack}; of the usual request sooner, as its method is not left to u-msgpack-python.
    """
    end = None if umsgpack.compatibility else _NAME_ENDS.get(payload[:2])
    if end is None:
        return unpack(payload)
    return [payload[2:end].decode("utf-8"), unpack(payload[end:])]
