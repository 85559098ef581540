"""
MessagePack by u-msgpack-python, which says what MessagePack is: it is what every published peer has on its side.
"""

import umsgpack

from rpcudp._nesting import isDeeper

# Bytes.
MAX_PAYLOAD = 8192

# Arrays and maps within each other, those of a request itself included.
MAX_DEPTH = 128

unpack = umsgpack.unpackb


def pack(value):
    """
    @return: C{value} as MessagePack.
    @rtype: L{bytes}

    @raise Exception: what u-msgpack-python raises, where C{value} has no such form.
    @raise ValueError: if it nests deeper than L{MAX_DEPTH} levels, which a peer would not read.
    """
    payload = umsgpack.packb(value)
    # What is too long will be refused for that; how deep it is would take long to tell.
    if MAX_DEPTH < len(payload) <= MAX_PAYLOAD and isDeeper(payload, MAX_DEPTH):
        raise ValueError("nested deeper than {} levels".format(MAX_DEPTH))
    return payload
