"""
How deep MessagePack nests is told from its bytes, before anything recurses.
"""

import sys

import umsgpack
from twisted.trial.unittest import SynchronousTestCase

from rpcudp import wire
from rpcudp.exceptions import MalformedMessage
from rpcudp._nesting import isDeeper

if sys.version_info >= (3,):
    from tests.properties import NestingPropertyTests  # noqa: F401, trial finds it here

THREE_LEVELS = b"\x91\x91\x90"


class NestingTests(SynchronousTestCase):
    def assertPassedOver(self, *values):
        """
        What comes after each of C{values} is found, and nothing in it is taken for a level.
        """
        for value in values:
            payload = b"\x92" + value + THREE_LEVELS
            self.assertFalse(isDeeper(payload, 4), payload)
            self.assertTrue(isDeeper(payload, 3), payload)

    def test_numbersAndConstants(self):
        self.assertPassedOver(b"\x00", b"\x7f", b"\xe0", b"\xff", b"\xc0", b"\xc2", b"\xc3")
        for code, size in zip(bytearray(range(0xCA, 0xD4)), (4, 8, 1, 2, 4, 8, 1, 2, 4, 8)):
            self.assertPassedOver(bytes(bytearray([code])) + b"\x91" * size)

    def test_textsBytesAndExtensions(self):
        for size in (0, 1, 31, 32, 255, 256, 70000):
            self.assertPassedOver(umsgpack.packb(u"a" * size), umsgpack.packb(b"\x91" * size))
        for size in (1, 2, 3, 4, 8, 16, 17, 255, 256, 70000):
            self.assertPassedOver(umsgpack.packb(umsgpack.Ext(5, b"\x91" * size)))
        self.assertPassedOver(b"\xc7\x00\x91", b"\xd7\xff" + b"\x91" * 8, b"\xc7\x0c\xff" + b"\x91" * 12)
        self.assertPassedOver(b"\xbf" + b"\x91" * 31)

    def test_arraysAndMaps(self):
        for size in (0, 1, 15, 16, 70000):
            self.assertPassedOver(umsgpack.packb([b"\x91"] * size), umsgpack.packb(dict.fromkeys(range(size))))
        for one in (b"\x91", b"\x81\xc0", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01", b"\xde\x00\x01\xc0"):
            self.assertTrue(isDeeper(one * 3 + b"\xc0", 2))
            self.assertFalse(isDeeper(one * 3 + b"\xc0", 3))

    def test_keysCountToo(self):
        self.assertTrue(isDeeper(b"\x81\x91\x91\xc0\xc0", 2))
        self.assertTrue(isDeeper(b"\x82\xc0\xc0\x91\x91\xc0\xc0", 2))

    def test_whatIsNotThereIsNotCounted(self):
        self.assertFalse(isDeeper(b"\xdd\xff\xff\xff\xff" * 3, 3))
        self.assertTrue(isDeeper(b"\xdd\xff\xff\xff\xff" * 4, 3))
        self.assertFalse(isDeeper(b"\xc6\xff\xff\xff\xff" + b"\x91" * 9, 3))
        self.assertFalse(isDeeper(b"\x9f" + b"\x90" * 9, 3))
        self.assertFalse(isDeeper(b"\xc6\xff\xff", 0))
        self.assertFalse(isDeeper(b"", 0))

    def test_onlyTheFirstValueCounts(self):
        self.assertFalse(isDeeper(b"\xc0" + THREE_LEVELS, 2))
        self.assertFalse(isDeeper(b"\x91\xc0" + THREE_LEVELS, 2))

    def test_whatIsTooDeepIsNotUnpacked(self):
        # A stack overflow in there may be the end of the process.
        self.patch(wire, "unpack", None)
        for payload in (b"\x91" * 8192, b"\x81\xc0" * 4000, b"\xdd\xff\xff\xff\xff" * 1000):
            datagram = b"\x01" + b"\x00" * 20 + payload
            error = self.assertRaises(MalformedMessage, wire.decode, datagram, wire.RPCUDP)
            self.assertEqual(str(error), "payload is nested deeper than 128 levels")
