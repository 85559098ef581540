"""
Datagrams as a pcap file, which Wireshark and its kin read: its format is that of draft-ietf-opsawg-pcap, the headers
are those of RFC 791 (IPv4), RFC 8200 (IPv6) and RFC 768 (UDP).
"""

import socket
import struct

# Of each packet there is nothing but the IP packet itself (LINKTYPE_RAW).
_LINK_TYPE = 101

_UDP = 17
_HOPS = 64


def writeCapture(path, datagrams):
    """
    @param path: of the file, which is replaced.

    @param datagrams: what is to be in it, in this order.
    @type datagrams: iterable of L{rpcudp.testing.Datagram}
    """
    with open(path, "wb") as file:
        # In the order of bytes that the first number tells, with microseconds; snapshots are as long as packets.
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, _LINK_TYPE))
        for datagram in datagrams:
            packet = _packet(datagram)
            seconds, microseconds = divmod(int(round(datagram.time * 1000000)), 1000000)
            file.write(struct.pack("<IIII", seconds, microseconds, len(packet), len(packet)) + packet)


def _packet(datagram):
    (source, sourcePort), (destination, destinationPort) = datagram.source, datagram.destination
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    length = 8 + len(datagram.data)
    udp = struct.pack(">HHHH", sourcePort, destinationPort, length, 0) + datagram.data
    # Of the addresses too, the protocol and the length.  A checksum of 0 would say that there is none.
    checksum = _checksum(addresses + struct.pack(">HH", _UDP, length) + udp) or 0xFFFF
    udp = udp[:6] + struct.pack(">H", checksum) + udp[8:]
    if family == socket.AF_INET6:
        return struct.pack(">IHBB", 6 << 28, length, _UDP, _HOPS) + addresses + udp
    # Version 4, a header of five words.
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, 0, 0, _HOPS, _UDP, 0)
    return header[:10] + struct.pack(">H", _checksum(header + addresses)) + addresses + udp


def _checksum(data):
    """
    @return: that of RFC 1071.
    """
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(">{}H".format(len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
