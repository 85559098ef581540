"""
Datagrams as capture files: written as pcap, which Wireshark and its kin read, and read as what they write, which is
pcap and pcapng.  The formats are those of draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng; the headers are those of
RFC 791 (IPv4), RFC 8200 (IPv6) and RFC 768 (UDP).

How datagrams are read: a file is packets (L{_pcapPackets}, L{_pcapngPackets}), each of a link type; without the header
of its link, one is an IP packet (L{_ipPacket}); and that is a datagram, or a fragment of one (L{_Fragments}).

This is no library's work, as dpkt 1.9 takes a packet that is cut short for a whole one, knows one interface alone, and
puts no fragments together; and Scapy is as large as all else here.
"""

import socket
import struct

# Of each packet there is nothing but the IP packet itself (LINKTYPE_RAW).
_LINK_TYPE = 101

_UDP = 17
_HOPS = 64

# How many bytes come before the IP packet, by link type.
_LINK_HEADERS = {
    0: 4,  # BSD loopback
    1: 14,  # Ethernet
    12: 0,  # raw IP, as some systems number it
    14: 0,
    101: 0,
    108: 4,  # OpenBSD loopback
    113: 16,  # Linux "any"
    228: 0,  # IPv4
    229: 0,  # IPv6
    276: 20,  # Linux "any", version 2
}

# Each is four bytes more before the IP packet, where its protocol would be told.
_VLAN_TAGS = (b"\x81\x00", b"\x88\xa8")

# Headers of IPv6 that may come before that of UDP: hop-by-hop options, routing, destination options; and that of a
# fragment.
_OPTIONS = (0, 43, 60)
_FRAGMENT = 44

# By the first four bytes of a pcap file: the order of bytes, and the parts of a second that it counts.
_PCAP = {
    b"\xa1\xb2\xc3\xd4": (">", 1e6),
    b"\xd4\xc3\xb2\xa1": ("<", 1e6),
    b"\xa1\xb2\x3c\x4d": (">", 1e9),
    b"\x4d\x3c\xb2\xa1": ("<", 1e9),
}

# The first four bytes of a pcapng file, and of each section of it; the next four but four tell the order of bytes.
_SECTION = b"\x0a\x0d\x0d\x0a"
_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}

# Its blocks that matter here, and the options of an interface that tell the parts of a second, and the seconds that are
# to be added.  (A simple packet block has no time, and nobody writes it.)
_INTERFACE, _PACKET = 1, 6
_END_OF_OPTIONS, _RESOLUTION, _OFFSET = 0, 9, 14

# Bytes; no packet or block is longer, so that nobody has memory taken for what is not there.
_LONGEST = 1 << 24

# For how many seconds fragments of a datagram are waited for, as RFC 8200 has it.
_PATIENCE = 60

# The year 10000, where calendars end, in seconds since 1970.
_END = 253402300800


class NotACapture(Exception):
    """
    A file cannot be read as a capture, or no further; the text says why.
    """


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


def readCapture(file, passedOver):
    """
    @param file: a pcap or pcapng file, opened for reading bytes.

    @param passedOver: where the link types are added of which there are packets, and which are not read here.
    @type passedOver: L{set}

    @return: the UDP datagrams in it: when each was captured, in seconds since 1970, its source and its destination,
        C{(ip, port)} pairs, its data, and whether this is all of them.  Those of which fragments are missing come last.
    @rtype: iterator of L{tuple}

    @raise NotACapture: when the iterator comes to what cannot be read.
    """
    magic = file.read(4)
    if magic in _PCAP:
        packets = _pcapPackets(file, *_PCAP[magic])
    elif magic == _SECTION:
        packets = _pcapngPackets(file)
    else:
        raise NotACapture("it is neither pcap nor pcapng")
    fragments = _Fragments()
    problem = None
    try:
        for time, linkType, frame in packets:
            if not 0 <= time < _END:
                raise NotACapture("it has a packet of {:.0f} seconds after 1970, which no calendar has".format(time))
            if linkType not in _LINK_HEADERS:
                passedOver.add(linkType)
                continue
            datagram = _datagram(time, _ipPacket(linkType, frame), fragments)
            if datagram is not None:
                yield datagram
    except NotACapture as error:
        problem = error
    for datagram in fragments.beginnings():
        yield datagram
    if problem is not None:
        raise problem


def _read(file, length):
    if not 0 <= length <= _LONGEST:
        raise NotACapture("it has a packet that cannot have the length that it says")
    data = file.read(length)
    if len(data) < length:
        raise NotACapture("it is cut short")
    return data


def _pcapPackets(file, order, parts):
    """
    @return: the packets in the rest of a pcap file: when each was captured, its link type, and its bytes.
    @rtype: iterator of L{tuple}
    """
    # In its upper bits there is something else.
    linkType = struct.unpack(order + "16xI", _read(file, 20))[0] & 0xFFFF
    while True:
        first = file.read(1)
        if not first:
            return
        seconds, fraction, length = struct.unpack(order + "III4x", first + _read(file, 15))
        yield seconds + fraction / parts, linkType, _read(file, length)


def _pcapngPackets(file):
    """
    The same for a pcapng file, of which the first four bytes were read.
    """
    kind = _SECTION
    while kind:
        length, inBlock = _read(file, 4), 8
        if kind == _SECTION:
            order = _ORDERS.get(_read(file, 4))
            if order is None:
                raise NotACapture("it has a section in no order of bytes")
            interfaces, inBlock = [], 12
        # The length stands at the end of a block once more.
        block = _read(file, struct.unpack(order + "I", length)[0] - inBlock)[:-4]
        try:
            number = struct.unpack(order + "I", kind)[0]
            if number == _INTERFACE:
                interfaces.append(struct.unpack(order + "H", block[:2]) + _unitAndOffset(order, block[8:]))
            elif number == _PACKET:
                interface, high, low, captured = struct.unpack(order + "IIII", block[:16])
                linkType, parts, offset = interfaces[interface]
                yield ((high << 32) + low) / parts + offset, linkType, block[20 : 20 + captured]
        except (struct.error, IndexError):
            raise NotACapture("it has a block that says too little")
        kind = file.read(4)


def _unitAndOffset(order, options):
    """
    @return: into how many parts an interface of pcapng divides a second, and how many seconds are to be added.
    @rtype: L{tuple} of a L{float} and an integer
    """
    parts, offset = 1e6, 0
    while options:
        code, length = struct.unpack(order + "HH", options[:4])
        if code == _END_OF_OPTIONS:
            break
        if code == _RESOLUTION:
            [exponent] = struct.unpack("B", options[4:5])
            parts = 2.0 ** (exponent & 0x7F) if exponent & 0x80 else 10.0**exponent
        elif code == _OFFSET:
            [offset] = struct.unpack(order + "q", options[4:12])
        # They are padded to four bytes.
        options = options[4 + (length + 3) // 4 * 4 :]
    return parts, offset


def _ipPacket(linkType, frame):
    """
    @return: the IP packet in a frame, or something else if there is none.
    @rtype: L{bytes}
    """
    start = _LINK_HEADERS[linkType]
    while start and frame[start - 2 : start] in _VLAN_TAGS:
        start += 4
    return frame[start:]


def _datagram(time, packet, fragments):
    """
    @return: a datagram that this IP packet is, or completes, or C{None}.
    """
    try:
        version = bytearray(packet[:1])[0] >> 4
        if version == 4:
            family, addresses, protocol, fragment, payload = _parseIPv4(packet)
        elif version == 6:
            family, addresses, protocol, fragment, payload = _parseIPv6(packet)
        else:
            return None
        if protocol != _UDP:
            return None
        udp = fragments.add(time, family, addresses, payload, *fragment)
        return None if udp is None else _parseUDP(time, family, addresses, udp)
    except (struct.error, IndexError):
        # It is no IP, or there is not enough of it.
        return None


def _parseIPv4(packet):
    """
    @return: the family; the addresses, one after the other; the protocol; of the fragment that it is its
        identification, its offset and whether there are more; and the payload.
    @rtype: L{tuple}
    """
    first, length, identification, flags, protocol, addresses = struct.unpack(">BxHHHxB2x8s", packet[:20])
    header = (first & 0x0F) * 4
    if header < 20:
        raise IndexError("the header is {} bytes, and 20 are the least".format(header))
    payload = packet[header:length]
    return socket.AF_INET, addresses, protocol, (identification, (flags & 0x1FFF) * 8, flags & 0x2000), payload


def _parseIPv6(packet):
    """
    The same for IPv6.
    """
    length, following, addresses = struct.unpack(">4xHBx32s", packet[:40])
    payload, fragment = packet[40 : 40 + length], (0, 0, 0)
    while following in _OPTIONS:
        following, words = struct.unpack(">BB", payload[:2])
        payload = payload[8 * (1 + words) :]
    if following == _FRAGMENT:
        following, offset, identification = struct.unpack(">BxHI", payload[:8])
        fragment, payload = (identification, offset & 0xFFF8, offset & 1), payload[8:]
    return socket.AF_INET6, addresses, following, fragment, payload


def _parseUDP(time, family, addresses, udp):
    """
    @return: a datagram, of which the end may be missing.
    """
    sourcePort, destinationPort, length = struct.unpack(">HHH", udp[:6])
    middle = len(addresses) // 2
    source = socket.inet_ntop(family, addresses[:middle]), sourcePort
    destination = socket.inet_ntop(family, addresses[middle:]), destinationPort
    return time, source, destination, udp[8:length], length <= len(udp)


class _Fragments(object):
    """
    What has come so far of the datagrams that come in fragments.
    """

    def __init__(self):
        self._datagrams = {}

    def add(self, time, family, addresses, payload, identification, offset, areThereMore):
        """
        @return: what the fragments make together, if all are there now, or else C{None}.
        """
        if not offset and not areThereMore:
            return payload
        key = family, addresses, identification
        datagram = self._datagrams.get(key)
        if datagram is None or time - datagram.time > _PATIENCE:
            datagram = self._datagrams[key] = _Fragmented(time)
        datagram.add(offset, payload, areThereMore)
        if not datagram.isEnough():
            return None
        del self._datagrams[key]
        return datagram.beginning()

    def beginnings(self):
        """
        @return: the datagrams of which not all fragments have come, but the first.
        @rtype: iterator
        """
        for (family, addresses, _), datagram in self._datagrams.items():
            udp = datagram.beginning()
            if len(udp) >= 8:
                yield _parseUDP(datagram.time, family, addresses, udp)


class _Fragmented(object):
    """
    A datagram of which fragments have come.

    @ivar time: when the first of them was captured.
    """

    def __init__(self, time):
        self.time = time
        self._parts = {}
        self._length = None
        self._there = 0

    def add(self, offset, payload, areThereMore):
        if offset not in self._parts:
            self._parts[offset] = payload
            self._there += len(payload)
        if not areThereMore:
            self._length = offset + len(payload)

    def isEnough(self):
        """
        @return: whether as many bytes have come as there are; of a fragment that overlaps others, some count twice.
        """
        return self._length is not None and self._there >= self._length

    def beginning(self):
        """
        @return: the payload up to the first gap.
        """
        parts, length = [], 0
        while self._parts.get(length):
            parts.append(self._parts[length])
            length += len(parts[-1])
        return b"".join(parts)
