"""
MessagePack by the C extension C{msgpack}, to the letter as by u-msgpack-python.

u-msgpack-python says what MessagePack is.  The two agree on most values and most bytes, and this module lets the faster
one near nothing else.  It packs what is made of exactly the types that both know, and it unpacks what has no extension
types in it and no key twice.  All that it refuses, for these reasons or its own, is done again by u-msgpack-python,
which decides: the bytes, the values and the refusals are the same with this module and without.

It cannot be imported where C{msgpack} has no C extension (not installed, Python 2, PyPy), as it would not be faster, or
where it is of another major version than this was tried with: those before 1 take text for bytes.
"""

import msgpack
import umsgpack
from msgpack import _cmsgpack

from rpcudp import _codec
from rpcudp._codec import headOf

if msgpack.version[0] != 1:
    raise ImportError("msgpack is {!r}, and this needs version 1".format(msgpack.version))

# What both pack alike, besides lists, tuples and dictionaries of it.
_SCALARS = frozenset([type(None), bool, int, float, bytes, type(u"")])

# Levels of what is in the tuple of a request's arguments, which is one itself, in another.
_DEPTH = _codec.MAX_DEPTH - 2

# Bytes.  A packer keeps a buffer of the longest that it has packed, so one that had more is not kept.
_KEPT = 1 << 16

# What has more at one level is too long in any case, and may have no end.
_MAX_VALUES = 1 << 20

# The C extension takes memory for as many items as are announced, for each of a thousand arrays within each other.
_MAX_ITEMS = 1024


def _newPacker():
    return _cmsgpack.Packer(use_bin_type=True)


_packer = _newPacker()


def pack(value, method=None):
    """
    The same as L{_codec.pack}.
    """
    global _packer
    if not umsgpack.compatibility:
        try:
            kind = type(value)
            # Arguments are a tuple.
            if kind in _SCALARS or _arePlain(value if kind is tuple else (value,), _DEPTH):
                payload = _packer.pack(value)
                if len(payload) > _KEPT:
                    _packer = _newPacker()
                return payload if method is None else headOf(method) + payload
        except (OverflowError, UnicodeEncodeError):
            # An integer of more than 64 bits, or a surrogate.
            _packer = _newPacker()
    return _codec.pack(value, method)


def unpack(payload):
    """
    @return: the value with which C{payload} begins.

    @raise Exception: what u-msgpack-python raises, where it begins with none.
    """
    if not umsgpack.compatibility:
        try:
            return _cmsgpack.unpackb(
                payload,
                strict_map_key=False,
                object_pairs_hook=_makeMap,
                max_ext_len=0,
                ext_hook=_refuse,
                max_array_len=_MAX_ITEMS,
                max_map_len=_MAX_ITEMS,
            )
        except Exception:
            # Of many types, and all of them mean that u-msgpack-python decides.
            pass
    return _codec.unpack(payload)


unpackRequest = unpack


def _arePlain(parts, depth):
    """
    @return: whether C{parts} are of the types that both packers know, all through, not too many, and at most C{depth}
        levels deep.
    @rtype: L{bool}
    """
    if _SCALARS.issuperset(map(type, parts)):
        return True
    below = []
    for part in parts:
        kind = type(part)
        if kind in _SCALARS:
            continue
        if not depth or len(below) > _MAX_VALUES:
            return False
        if kind is list or kind is tuple:
            below += part
        elif kind is dict:
            below += part
            below += part.values()
        else:
            return False
    return _arePlain(below, depth - 1)


def _refuse(code, data):
    raise ValueError("an extension type")


def _makeMap(pairs):
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key occurs twice")
    return made
