"""
What the requests in hand may take, and each sender of it: places, and bytes.

The rule is the dynamic threshold of Choudhury and Hahne (1998): a sender is given more only while it holds less than is
free.  So one alone leaves half, two leave a quarter or more, and a newcomer finds a place as long as there is one.
"""

import socket
import sys

import umsgpack

# Bytes that a request in hand takes besides its arguments, measured and rounded up: its Deferred and who waits for it.
REQUEST_OVERHEAD = 3072

# Bytes of an object whose attributes are in a dictionary of their own, of Python 2's measure.
_OBJECT = 512

# Bytes that what comes in one datagram takes at most, on Python 2: 8 KiB of empty maps.  A handler may have linked it
# to something larger, or made something endless of it.
_HEAVIEST = 5 << 19

# The first bytes of an IPv6 address that stands for one of IPv4.
_MAPPED = b"\x00" * 10 + b"\xff\xff"


class Shares(object):
    """
    So much of something, that senders share.

    @ivar limit: how much there is.
    @ivar taken: how much of it is taken.

    @ivar _held: by sender, how much each has taken.
    """

    def __init__(self, limit):
        self.limit = limit
        self.taken = 0
        self._held = {}

    def isOpenTo(self, address, reserved=0):
        """
        @param reserved: how much of it is not free, besides what is taken.
        """
        free = self.limit - self.taken - reserved
        # Nobody holds more than all together.
        return self.taken < free or self._held.get(senderOf(address), 0) < free

    def take(self, sender, amount):
        self.taken += amount
        self._held[sender] = self._held.get(sender, 0) + amount

    def giveBack(self, sender, amount):
        self.taken -= amount
        self._held[sender] -= amount
        if not self._held[sender]:
            del self._held[sender]


def senderOf(address):
    """
    @return: who sends from C{address}: whoever has an IPv6 address has all of its /64.
    """
    host = address[0]
    if ":" not in host:
        return host
    try:
        packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except (socket.error, ValueError):
        return host
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[len(_MAPPED):])
    return packed[:8]


def weigh(data):
    """
    @param data: what came in a request.

    @return: the bytes of memory that it takes, some more at most.
    @rtype: L{int}
    """
    weight = REQUEST_OVERHEAD
    parts = [data]
    while parts and weight < _HEAVIEST:
        part = parts.pop()
        kind = type(part)
        size = sys.getsizeof(part, _OBJECT)
        if kind is list or kind is tuple:
            parts.extend(part)
        elif kind is dict:
            parts.extend(part)
            parts.extend(part.values())
        elif isinstance(part, umsgpack.Ext):
            size = _OBJECT + sys.getsizeof(part.data)
        # Memory is given out in pieces of 16 bytes.
        weight += (size | 15) + 1
    return min(weight, _HEAVIEST)
