"""
Capture files are read as they are, whoever wrote them, as far as they go.
"""

import io
import random
import socket
import struct

from twisted.trial.unittest import SynchronousTestCase

from rpcudp._capture import NotACapture, _Fragmented, readCapture, writeCapture
from rpcudp.testing import Datagram

FOUR = Datagram(1.5, ("192.0.2.1", 1234), ("192.0.2.2", 5678), b"four")
SIX = Datagram(2.25, ("2001:db8::1", 1234), ("2001:db8::2", 5678), b"six")
WHOLE = [tuple(datagram) + (True,) for datagram in (FOUR, SIX)]

ETHERNET, LINUX_ANY, LINUX_ANY_2, LOOPBACK, RAW = 1, 113, 276, 0, 101


def read(data):
    return list(readCapture(io.BytesIO(data), set()))


def pcap(packets, linkType=RAW, order="<", magic=0xA1B2C3D4, parts=10**6):
    """
    @param packets: pairs of a time in seconds and bytes.
    """
    data = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, linkType)
    for time, packet in packets:
        data += struct.pack(order + "IIII", int(time), int(time % 1 * parts), len(packet), len(packet)) + packet
    return data


def block(kind, body, order="<"):
    body += b"\0" * (-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def section(order="<"):
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(linkType, options=b"", order="<"):
    return block(1, struct.pack(order + "HHI", linkType, 0, 0) + options, order)


def enhanced(number, ticks, packet, order="<"):
    header = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), len(packet))
    return block(6, header + packet, order)


def ipPackets(test):
    """
    @return: the IP packets of L{FOUR} and L{SIX}.
    """
    path = test.mktemp()
    writeCapture(path, [FOUR, SIX])
    with open(path, "rb") as file:
        data = file.read()[24:]
    packets = []
    while data:
        [length] = struct.unpack("<8xI4x", data[:16])
        packets.append(data[16 : 16 + length])
        data = data[16 + length :]
    return packets


def ipv6(payload, following):
    addresses = socket.inet_pton(socket.AF_INET6, SIX.source[0]) + socket.inet_pton(socket.AF_INET6, SIX.destination[0])
    return struct.pack(">IHBB", 6 << 28, len(payload), following, 64) + addresses + payload


def ipv4Fragments(packet, size):
    header, payload = packet[:20], packet[20:]
    fragments = []
    for offset in range(0, len(payload), size):
        part = payload[offset : offset + size]
        more = 0x2000 if offset + size < len(payload) else 0
        fields = struct.pack(">HHH", 20 + len(part), 99, more | offset // 8)
        fragments.append(header[:2] + fields + header[8:] + part)
    return fragments


class PcapTests(SynchronousTestCase):
    def setUp(self):
        self.packets = ipPackets(self)
        self.timed = list(zip((FOUR.time, SIX.time), self.packets))

    def test_whatIsWrittenHere(self):
        path = self.mktemp()
        writeCapture(path, [FOUR, SIX])
        with open(path, "rb") as file:
            self.assertEqual(list(readCapture(file, set())), WHOLE)

    def test_eachOrderOfBytesAndUnitOfTime(self):
        for order in "<>":
            self.assertEqual(read(pcap(self.timed, order=order)), WHOLE)
            nanoseconds = pcap(self.timed, order=order, magic=0xA1B23C4D, parts=10**9)
            self.assertEqual(read(nanoseconds), WHOLE)

    def test_eachLinkType(self):
        four, six = b"\x08\x00", b"\x86\xdd"
        for linkType, headers in [
            (ETHERNET, (b"m" * 12 + four, b"m" * 12 + six)),
            (ETHERNET, (b"m" * 12 + b"\x81\x00tt" + four, b"m" * 12 + b"\x88\xa8tt\x81\x00tt" + six)),
            (LINUX_ANY, (b"m" * 14 + four, b"m" * 14 + six)),
            (LINUX_ANY_2, (four + b"m" * 18, six + b"m" * 18)),
            (LOOPBACK, (b"\x02\0\0\0", b"\x1e\0\0\0")),
            (228, (b"", b"")),
        ]:
            frames = [(time, header + packet) for header, (time, packet) in zip(headers, self.timed)]
            self.assertEqual(read(pcap(frames, linkType)), WHOLE, linkType)

    def test_paddingOfALinkIsNoData(self):
        frame = b"m" * 12 + b"\x08\x00" + self.packets[0] + b"\0" * 14
        self.assertEqual(read(pcap([(FOUR.time, frame)], ETHERNET)), WHOLE[:1])

    def test_aLinkTypeThatIsNotRead(self):
        passedOver = set()
        self.assertEqual(list(readCapture(io.BytesIO(pcap(self.timed, 127)), passedOver)), [])
        self.assertEqual(passedOver, {127})

    def test_whatElseIsInTheFieldOfTheLinkType(self):
        # The length of a checksum of frames.
        self.assertEqual(read(pcap(self.timed, RAW | 0x14000000)), WHOLE)

    def test_headersThatAreNone(self):
        for packet in (b"\x40" + self.packets[0][1:], b"\x40" + self.packets[0][1:16], self.packets[0][:19]):
            self.assertEqual(read(pcap([(0, packet)])), [])
        # Up to the ports and the length of UDP.
        for length in range(46):
            self.assertEqual(read(pcap([(0, self.packets[1][:length])])), [])

    def test_whatIsNoUDPIsPassedOver(self):
        tcp = self.packets[0][:9] + b"\x06" + self.packets[0][10:]
        arp = b"\x00\x01\x08\x00\x06\x04\x00\x01"
        packets = [(0, tcp), (0, arp), (0, b""), (0, b"\x45"), (0, b"\x60"), (0, self.packets[0][:25])] + self.timed
        self.assertEqual(read(pcap(packets)), WHOLE)

    def test_extensionHeadersOfIPv6(self):
        udp = self.packets[1][40:]
        options = struct.pack(">BB6x", 60, 0) + struct.pack(">BB14x", 17, 1)
        self.assertEqual(read(pcap([(SIX.time, ipv6(options + udp, 0))])), WHOLE[1:])

    def test_snapshots(self):
        [datagram] = read(pcap([(FOUR.time, self.packets[0][:-1])]))
        self.assertEqual(datagram, (FOUR.time, FOUR.source, FOUR.destination, b"fou", False))

    def test_noFileIsReadBehindWhereItIsCut(self):
        data = pcap(self.timed)
        ends = [24, 24 + 16 + len(self.packets[0]), len(data)]
        for length in range(len(data)):
            if length in ends:
                self.assertEqual(read(data[:length]), WHOLE[: ends.index(length)])
                continue
            found = []
            with self.assertRaises(NotACapture) as caught:
                for datagram in readCapture(io.BytesIO(data[:length]), set()):
                    found.append(datagram)
            self.assertEqual(found, WHOLE[: sum(end <= length for end in ends[1:])])
            reason = "it is cut short" if length >= 4 else "it is neither pcap nor pcapng"
            self.assertEqual(str(caught.exception), reason)

    def test_aLengthThatNoPacketHas(self):
        data = pcap([]) + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 0xFFFFFFFF)
        error = self.assertRaises(NotACapture, read, data)
        self.assertIn("cannot have the length", str(error))


class FragmentTests(SynchronousTestCase):
    def setUp(self):
        self.datagram = Datagram(0, FOUR.source, FOUR.destination, bytes(bytearray(range(200))))
        path = self.mktemp()
        writeCapture(path, [self.datagram])
        with open(path, "rb") as file:
            self.fragments = ipv4Fragments(file.read()[24 + 16 :], 48)
        self.assertEqual(len(self.fragments), 5)

    def assertPutTogether(self, fragments):
        self.assertEqual(read(pcap([(0, fragment) for fragment in fragments])), [tuple(self.datagram) + (True,)])

    def test_inWhateverOrder(self):
        self.assertPutTogether(self.fragments)
        self.assertPutTogether(reversed(self.fragments))
        self.assertPutTogether(random.Random(1).sample(self.fragments, 5))

    def test_twice(self):
        self.assertPutTogether(self.fragments[:3] + self.fragments)

    def test_missing(self):
        for number in range(5):
            rest = self.fragments[:number] + self.fragments[number + 1 :]
            found = read(pcap([(0, fragment) for fragment in rest]))
            # What there is before the gap, without the header of UDP, if there is that.
            beginning = self.datagram.data[: 48 * number - 8]
            expected = (0, FOUR.source, FOUR.destination, beginning, False)
            self.assertEqual(found, [expected] if number else [])

    def test_whatIsMissingComesLastAlsoWhereTheFileIsCut(self):
        data = pcap([(0, fragment) for fragment in self.fragments[:2] + [self.fragments[0]]])
        found = []
        with self.assertRaises(NotACapture):
            for datagram in readCapture(io.BytesIO(data[:-1]), set()):
                found.append(datagram)
        self.assertEqual([datagram[3:] for datagram in found], [(self.datagram.data[:88], False)])

    def test_identificationsAreUsedAgain(self):
        other = bytes(bytearray(range(200, 0, -1)))
        path = self.mktemp()
        writeCapture(path, [self.datagram._replace(data=other)])
        with open(path, "rb") as file:
            others = ipv4Fragments(file.read()[24 + 16 :], 48)
        # At once, and after what is left of one whose end was lost.
        found = read(pcap([(0, fragment) for fragment in self.fragments + others]))
        self.assertEqual([datagram[3:] for datagram in found], [(self.datagram.data, True), (other, True)])
        timed = [(0, fragment) for fragment in self.fragments[1:]] + [(61, fragment) for fragment in others]
        self.assertEqual([datagram[3:] for datagram in read(pcap(timed))], [(other, True)])
        # No fragment of the one completes the other.
        timed = [(0, self.fragments[-1])] + [(61, fragment) for fragment in others[:-1]]
        self.assertEqual([datagram[3:] for datagram in read(pcap(timed))], [(other[: 48 * 4 - 8], False)])

    def test_manyFragmentsCostWhatTheyAre(self):
        """
        As long as one is missing, they are not put together again and again.
        """
        asked = []
        self.patch(_Fragmented, "beginning", lambda datagram: asked.append(datagram) or b"")
        first = self.fragments[0]
        packets = [(0, first[:6] + struct.pack(">H", 0x2000 | offset) + first[8:28]) for offset in range(8000)]
        read(pcap(packets * 2))
        self.assertEqual(len(asked), 1)

    def test_ofIPv6(self):
        udp = struct.pack(">HHHH", SIX.source[1], SIX.destination[1], 8 + 16, 0) + b"0123456789abcdef"
        first = ipv6(struct.pack(">BxHI", 17, 0 | 1, 7) + udp[:16], 44)
        last = ipv6(struct.pack(">BxHI", 17, 16, 7) + udp[16:], 44)
        [found] = read(pcap([(0, last), (0, first)]))
        self.assertEqual(found, (0, SIX.source, SIX.destination, udp[8:], True))


class PcapngTests(SynchronousTestCase):
    def setUp(self):
        self.four, self.six = ipPackets(self)

    def file(self, order="<"):
        return (
            section(order)
            + interface(RAW, order=order)
            + block(5, b"statistics, which are of no matter.", order)
            + enhanced(0, 1500000, self.four, order)
            + enhanced(0, 2250000, self.six, order)
        )

    def test_eachOrderOfBytes(self):
        for order in "<>":
            self.assertEqual(read(self.file(order)), WHOLE)

    def test_severalSections(self):
        twice = read(self.file("<") + self.file(">"))
        self.assertEqual(twice, WHOLE * 2)
        # Each has interfaces of its own.
        ethernet = section() + interface(ETHERNET) + enhanced(0, 1500000, b"m" * 12 + b"\x08\x00" + self.four)
        self.assertEqual(read(self.file() + ethernet), WHOLE + WHOLE[:1])

    def test_severalInterfacesWithTimesAndLinksOfTheirOwn(self):
        nanoseconds = struct.pack("<HHBxxx", 9, 1, 9) + struct.pack("<HH", 0, 0)
        # After a name, in parts of a second that are a power of two.
        quarters = struct.pack("<HH3sx", 2, 3, b"lo0") + struct.pack("<HHBxxx", 9, 1, 0x82)
        data = section() + interface(RAW, nanoseconds) + interface(ETHERNET, quarters)
        data += enhanced(0, 1500000000, self.four) + enhanced(1, 9, b"m" * 12 + b"\x86\xdd" + self.six)
        self.assertEqual(read(data), WHOLE)

    def test_anOffsetOfTheTimes(self):
        for order in "<>":
            offset = struct.pack(order + "HHqHH", 14, 8, 1700000000, 0, 0)
            [datagram] = read(section(order) + interface(RAW, offset, order) + enhanced(0, 250000, self.four, order))
            self.assertEqual(datagram[0], 1700000000.25)

    def test_whatFollowsTheEndOfTheOptions(self):
        data = section() + interface(RAW, struct.pack("<HH", 0, 0) + b"junk") + enhanced(0, 1500000, self.four)
        self.assertEqual(read(data), WHOLE[:1])

    def test_oneInterfaceThatIsNotRead(self):
        passedOver = set()
        data = section() + interface(RAW) + interface(220)
        data += enhanced(1, 1, b"usb") + enhanced(0, 1500000, self.four) + enhanced(1, 1, b"usb")
        self.assertEqual(list(readCapture(io.BytesIO(data), passedOver)), WHOLE[:1])
        self.assertEqual(passedOver, {220})

    def test_timesAfter32Bits(self):
        [datagram] = read(section() + interface(RAW) + enhanced(0, 1700000000123456, self.four))
        self.assertEqual(datagram[0], 1700000000.123456)

    def test_aTimeWithoutADate(self):
        data = section() + interface(RAW, struct.pack("<HHBxxx", 9, 1, 0)) + enhanced(0, 2**63, self.four)
        self.assertIn("no calendar", str(self.assertRaises(NotACapture, read, data)))

    def test_blocksThatSayTooLittle(self):
        for data in [
            section() + block(6, b"short"),
            section() + block(1, b""),
            section() + enhanced(0, 1, self.four),
            section() + interface(RAW, b"\x09\x00"),
            section() + interface(RAW, struct.pack("<HH", 9, 1)),
        ]:
            self.assertIn("says too little", str(self.assertRaises(NotACapture, read, data)))

    def test_noFileIsReadBehindWhereItIsCut(self):
        data = self.file()
        for length in range(4, len(data)):
            found = []
            try:
                for datagram in readCapture(io.BytesIO(data[:length]), set()):
                    found.append(datagram)
            except NotACapture as error:
                self.assertEqual(str(error), "it is cut short")
            self.assertEqual(found, WHOLE[: len(found)])

    def test_anyBytesAreRefusedOrRead(self):
        chance = random.Random(1)
        for data in (self.file(), pcap([(1, self.four), (2, self.six)])):
            for _ in range(2000):
                mutant = bytearray(data)
                for _ in range(chance.randint(1, 3)):
                    mutant[chance.randrange(4, len(mutant))] = chance.choice([0, 1, 127, 255, chance.randrange(256)])
                try:
                    read(bytes(mutant))
                except NotACapture:
                    pass

    def test_otherFiles(self):
        for data in [b"", b"PK", b"#!/usr/bin/python", b"\x0a\x0d\x0d\x0a" + b"x" * 30]:
            self.assertRaises(NotACapture, read, data)
