"""
Addresses: whether a port can reach one, and the only one that a connected port can reach.
"""

import socket
from builtins import int, str
from socket import AF_INET, AF_INET6, inet_pton

from twisted.internet.error import InvalidAddressError

# On Python 2 an IP address may be a native string as well.
_TEXT = (str, type(""))

# What an address may be, as one tuple for all calls.
_PAIRS = (tuple, list)

# How a socket spells 255.255.255.255.
_BROADCAST = "<broadcast>"

# Of the name of a network interface, the end of it included, as Linux has it.
_ZONE_LENGTH = 16

# What the system's functions raise for what is no address, a null byte on Python 2 included.
_WRONG = (socket.error, TypeError, ValueError)


def checkAddress(address, transport):
    """
    @return: C{address} as C{transport} wants it.
    @rtype: L{tuple} of an IP and a port, and of the zone where the address has one

    @raise InvalidAddressError: if it is no C{(ip, port)} pair, or C{transport} cannot reach it.
    """
    if not isinstance(address, _PAIRS) or len(address) != 2:
        raise _invalid(address, "and not an (ip, port) pair")
    host, port = address
    try:
        inet_pton(AF_INET, host)
        family = AF_INET
    except _WRONG:
        family = _otherFamilyOf(host)
    if family is None:
        raise _invalid(address, "and its first part not an IP address")
    if not isinstance(port, int) or not 0 < port < 65536:
        raise _invalid(address, "and its second part not a port from 1 to 65535")
    if getattr(transport, "addressFamily", family) != family:
        raise _invalid(address, "and the port does not speak IPv{}".format(4 if family == AF_INET else 6))
    if getattr(transport, "_connectedAddr", transport) is not None:
        peer = connectedPeer(transport)
        if peer is not None:
            if _canonical(host, port) != peer:
                raise _invalid(address, "and the port is connected to {!r}".format(peer[:2]))
            return peer[:2]
    # A zone in the text is checked by the socket, and then ignored.
    return _canonical(host, port) if "%" in host else (host, port)


def connectedPeer(transport):
    """
    Ask the socket, which takes longer than to send a datagram.  Where C{transport} has C{_connectedAddr}, Twisted's own
    record, and that is C{None}, its answer is known without asking.

    @return: the one address that C{transport} is connected to, or C{None}.
    @rtype: L{tuple} of an IP, a port and, for IPv6, what else its socket says
    """
    try:
        return transport.socket.getpeername()
    except (AttributeError, socket.error):
        return None


def _invalid(address, reason):
    error = InvalidAddressError(address, "address is {!r}, {}".format(address, reason))
    # The text of Twisted's own would be that of both together.
    error.args = (error.message,)
    return error


def _otherFamilyOf(host):
    """
    @param host: what is no IPv4 address in four numbers.

    @return: C{AF_INET} or C{AF_INET6}, or C{None} where C{host} is no IP address.
    """
    if not isinstance(host, _TEXT):
        return None
    if host == _BROADCAST:
        return AF_INET
    try:
        plain, percent, zone = host.partition("%")
        inet_pton(AF_INET6, plain)
        # The name of a zone has to be one of this machine's; to look for a long one takes long.
        if not percent or len(zone) < _ZONE_LENGTH and "\0" not in zone and _canonical(host, 0) is not None:
            return AF_INET6
    except _WRONG:
        pass
    return None


def _canonical(host, port):
    """
    @return: the address as the system spells it, or C{None} where it has none, for want of such a zone.
    """
    try:
        return socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST)[0][4]
    except _WRONG:
        return None
