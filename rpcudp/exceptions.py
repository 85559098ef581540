"""
What rpcudp raises of its own.  Wrong arguments get Python's and Twisted's own exceptions.
"""


class MalformedMessage(Exception):
    """
    A message that the datagram format cannot carry, or a datagram that carries none.

    A caller meets it where a call's payload is longer than L{rpcudp.wire.MAX_PAYLOAD} bytes or holds a value that
    MessagePack has no form for.  The text says what was wrong, with the figure and the limit.
    """
