"""
A value of every MessagePack type that fits into a datagram, as the bytes that u-msgpack-python makes of it.
"""

import numbers
import struct

import umsgpack

pack, unpack = umsgpack.packb, umsgpack.unpackb


def longer(code, length):
    """
    @return: the beginning of a value whose length takes two bytes.
    """
    return struct.pack(">BH", code, length)


VALUES = {
    "nil": b"\xc0",
    "false": b"\xc2",
    "true": b"\xc3",
    "positive fixint": b"\x7f",
    "negative fixint": b"\xe0",
    "uint 8": b"\xcc\x80",
    "uint 16": b"\xcd\x01\x00",
    "uint 32": b"\xce\x00\x01\x00\x00",
    "uint 64": b"\xcf" + b"\xff" * 8,
    "int 8": b"\xd0\x80",
    "int 16": b"\xd1\x80\x00",
    "int 32": b"\xd2\x80\x00\x00\x00",
    "int 64": b"\xd3\x80" + b"\x00" * 7,
    "float 64": b"\xcb\xbf\xf8" + b"\x00" * 6,
    "fixstr": b"\xa3\xe2\x98\x83",
    "str 8": b"\xd9\x20" + b"x" * 32,
    "str 16": longer(0xDA, 256) + b"x" * 256,
    "bin 8": b"\xc4\x02\x00\xff",
    "bin 16": longer(0xC5, 256) + b"\xff" * 256,
    "fixarray": b"\x93\xc0\x91\x01\x90",
    "array 16": longer(0xDC, 16) + b"\x01" * 16,
    "fixmap": b"\x81\xa3key\x91\xc0",
    "map with bytes for a key": b"\x81\xc4\x01k\x01",
    "map with an array for a key": b"\x81\x92\x01\x02\x03",
    "map 16": longer(0xDE, 16) + b"".join(struct.pack("BB", number, number) for number in range(16)),
    "fixext 1": b"\xd4\x05" + b"x" * 1,
    "fixext 2": b"\xd5\x05" + b"x" * 2,
    "fixext 4": b"\xd6\x05" + b"x" * 4,
    "fixext 8": b"\xd7\x05" + b"x" * 8,
    "fixext 16": b"\xd8\x05" + b"x" * 16,
    "ext 8": b"\xc7\x03\x05" + b"x" * 3,
    "ext 16": longer(0xC8, 256) + b"\x05" + b"x" * 256,
    "timestamp 32": b"\xd6\xff\x00\x00\x00\x01",
    "timestamp 64": b"\xd7\xff\x00\x00\x0f\xa0\x00\x00\x00\x01",
    "timestamp 96": b"\xc7\x0c\xff\x00\x00\x00\x00" + b"\xff" * 8,
}

# Those of the types that kademlia 2.2.3 sets; of others it cannot get arrays and maps.
ATOMS = sorted(
    (name, payload)
    for name, payload in VALUES.items()
    if isinstance(unpack(payload), (bytes, type(u""), numbers.Number))
)


def named(who, name):
    """
    @return: the key by which C{who} sets a value; it takes more bytes than characters.
    """
    return u"{} \u2603 {}".format(who, name)
