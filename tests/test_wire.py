# -*- coding: utf-8 -*-
"""
The datagram format.
"""

import json
import os
import struct

import umsgpack
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rpcudp import _codec, wire
from rpcudp.exceptions import MalformedMessage
from tests.support import MESSAGE_ID

with open(os.path.join(os.path.dirname(__file__), "vectors.json")) as file:
    VECTORS = json.load(file)


def revive(value):
    """
    @return: what a vector spells, as JSON has neither bytes nor wide integers nor all floats nor maps with any key.
    """
    if isinstance(value, list):
        return [revive(item) for item in value]
    if not isinstance(value, dict):
        return value
    [(kind, spelt)] = value.items()
    if kind == "bytes":
        return bytes(bytearray.fromhex(spelt))
    if kind == "int":
        return int(spelt)
    if kind == "float":
        return struct.unpack(">d", bytes(bytearray.fromhex(spelt)))[0]
    if kind == "map":
        return dict((revive(key), revive(item)) for key, item in spelt)
    raise ValueError(kind)


class VectorTests(SynchronousTestCase):
    """
    What the published packages put on the wire.
    """

    def vectors(self):
        self.assertEqual(len(VECTORS), 96)
        for vector in VECTORS:
            kinds = wire.STORJ if vector["peer"].startswith("storjrpcudp") else wire.RPCUDP
            if vector["kind"] == "request":
                value = [vector["method"], revive(vector["args"])]
            else:
                value = revive(vector["result"])
            yield bytes(bytearray.fromhex(vector["datagram"])), kinds, getattr(kinds, vector["kind"]), value

    def test_weSendTheSameBytes(self):
        for datagram, _, kind, value in self.vectors():
            self.assertEqual(wire.encode(kind, datagram[1:21], value), datagram)

    def test_weSendTheSameBytesWhereTheMethodIsNamed(self):
        requests = [vector for vector in self.vectors() if vector[2] in (wire.RPCUDP.request, wire.STORJ.request)]
        self.assertTrue(requests)
        for datagram, _, kind, (method, arguments) in requests + requests:
            self.assertEqual(wire.makeDatagram(kind, datagram[1:21], tuple(arguments), method), datagram)

    def test_weUnderstandTheSameValues(self):
        for datagram, kinds, kind, value in self.vectors():
            self.assertEqual(wire.decode(datagram, kinds), (kind, datagram[1:21], value))
            # 1, 1.0 and True are equal, and the bytes tell them apart.
            self.assertEqual(umsgpack.packb(wire.decode(datagram, kinds)[2]), datagram[21:])

    def test_networksDoNotUnderstandEachOther(self):
        for datagram, kinds, _, _ in self.vectors():
            [other] = {wire.RPCUDP, wire.STORJ} - {kinds}
            self.assertRaises(MalformedMessage, wire.decode, datagram, other)


class EncodeTests(SynchronousTestCase):
    def encode(self, value):
        return wire.encode(b"\x01", MESSAGE_ID, value)

    def test_layout(self):
        self.assertEqual(self.encode(u"hi"), b"\x01" + MESSAGE_ID + b"\xa2hi")

    def test_tuplesAndListsAreArrays(self):
        self.assertEqual(self.encode((1, (2, 3))), self.encode([1, [2, 3]]))

    def test_nativeStringIsTextOnPython3AndBytesOnPython2(self):
        payload = b"\xc4\x02hi" if str is bytes else b"\xa2hi"
        self.assertEqual(self.encode("hi")[21:], payload)

    def test_payloadOf8192BytesFits(self):
        datagram = self.encode(b"x" * 8189)
        self.assertEqual(len(datagram), 21 + 8192)
        self.assertEqual(wire.decode(datagram, wire.RPCUDP)[2], b"x" * 8189)

    def test_longerPayloadIsRefusedWithSizeExcessAndLimit(self):
        error = self.assertRaises(MalformedMessage, self.encode, b"x" * 8190)
        self.assertEqual(str(error), "payload is 8193 bytes, 1 over the limit of 8192")

    def test_valueWithoutMessagePackFormIsRefusedAndNamed(self):
        class Unheard(object):
            pass

        error = self.assertRaises(MalformedMessage, self.encode, [Unheard()])
        self.assertIn("cannot be serialised", str(error))
        self.assertIn("Unheard", str(error))

    def test_integerOver64BitsIsRefused(self):
        self.assertRaises(MalformedMessage, self.encode, 2 ** 64)

    def test_endlessNestingIsRefused(self):
        nested = []
        nested.append(nested)
        self.assertRaises(MalformedMessage, self.encode, nested)

    def test_nestedTooDeepInAsFewAndAsManyBytesAsCanBe(self):
        for innermost, length in [([], 129), (b"x" * (8192 - 3 - 129), 8192)]:
            value = innermost
            for _ in range(length - len(umsgpack.packb(innermost))):
                value = [value]
            self.assertEqual(len(umsgpack.packb(value)), length)
            error = self.assertRaises(MalformedMessage, self.encode, value)
            self.assertIn("nested deeper than 128 levels", str(error))

    def test_errorOfTheApplicationsOwnTypeIsRefused(self):
        class Broken(dict):
            def items(self):
                raise RuntimeError("broken dict")

            # What Python 2 asks for.
            iteritems = items

        error = self.assertRaises(MalformedMessage, self.encode, Broken(key=1))
        self.assertIn("broken dict", str(error))


class RequestTests(SynchronousTestCase):
    """
    The frame of a request, which is not left to u-msgpack-python where it is a usual one.
    """

    NAMES = [u"", u"a", u"Find_Node.2", u"\u2603" * 10, u"x" * 31, u"x" * 32, u"\u2603" * 11, u"x" * 255, u"x" * 256]

    def setUp(self):
        self.patch(_codec, "_heads", {})

    def request(self, method, *arguments):
        """
        @return: the payload.
        """
        return wire.makeDatagram(b"\x00", MESSAGE_ID, arguments, method)[21:]

    def decode(self, payload):
        return wire.decode(b"\x00" + MESSAGE_ID + payload, wire.RPCUDP)[2]

    def test_namesOfAnyLength(self):
        for name in self.NAMES + self.NAMES:
            payload = self.request(name, 1, b"2")
            self.assertEqual(payload, umsgpack.packb([name, [1, b"2"]]))
            self.assertEqual(self.decode(payload), [name, [1, b"2"]])

    def test_namesInCompatibilityMode(self):
        for isCompatible in (False, True, False):
            self.patch(umsgpack, "compatibility", isCompatible)
            for name in self.NAMES:
                try:
                    expected = umsgpack.packb([name, []])
                except UnicodeEncodeError:
                    # What is not ASCII, on Python 2.
                    self.assertRaises(MalformedMessage, self.request, name)
                else:
                    self.assertEqual(self.request(name), expected)

    def test_anyNumberOfArguments(self):
        values = [None, {u"key": u"value"}, u"\u2603", [b"", []], True, -1.5]
        for number in list(range(40)) + [1000]:
            arguments = [values[index % len(values)] for index in range(number)]
            payload = self.request(u"store", *arguments)
            self.assertEqual(payload, umsgpack.packb([u"store", arguments]))
            self.assertEqual(self.decode(payload), [u"store", arguments])

    def test_nameThatIsNotUnicodeIsRefused(self):
        if str is bytes:
            raise SkipTest("Python 2 packs surrogates")
        self.assertIn("cannot be serialised", str(self.assertRaises(MalformedMessage, self.request, u"\ud800")))

    def test_nameIsPackedOnce(self):
        packed = []
        original = umsgpack.packb
        self.patch(umsgpack, "packb", lambda value: packed.append(value) or original(value))
        for number in range(3):
            self.request(u"sayhi", number)
        self.assertEqual(packed, [u"sayhi"])

    def test_fewNamesAreRemembered(self):
        for number in range(5000):
            self.request(u"method{}".format(number))
            self.assertLessEqual(len(_codec._heads), 1000)
        self.assertIn(u"method4999", _codec._heads)
        self.request(u"x" * 1000)
        self.assertNotIn(u"x" * 1000, _codec._heads)

    def test_namesThatThreadsAddedBeyondTheEndAreForgotten(self):
        _codec._heads.update((u"method{}".format(number), b"") for number in range(1001))
        self.request(u"sayhi")
        self.assertEqual(list(_codec._heads), [u"sayhi"])

    def test_nameThatIsEqualToAnotherIsItsOwn(self):
        class Caseless(type(u"")):
            def __eq__(self, other):
                return self.lower() == other.lower()

            def __hash__(self):
                return hash(self.lower())

        class Unhashable(type(u"")):
            __hash__ = None

        for kind in (Caseless, Unhashable):
            for name in (kind(u"Get"), u"get", kind(u"Get"), u"Get"):
                self.assertEqual(self.request(name), umsgpack.packb([type(u"")(name), []]))

    def test_argumentsNestNoDeeperThanInAList(self):
        for text in (u"x", u"x" * 200):
            for levels, isRefused in [(125, False), (126, False), (127, True), (128, True)]:
                value = text
                for _ in range(levels):
                    value = [value]
                for give in (
                    lambda: self.request(u"sayhi", value),
                    lambda: wire.encode(b"\x00", MESSAGE_ID, [u"sayhi", [value]])[21:],
                ):
                    if isRefused:
                        self.assertIn("nested deeper than 128", str(self.assertRaises(MalformedMessage, give)))
                    else:
                        self.assertEqual(self.decode(give()), [u"sayhi", [value]])

    def test_readAsByUMsgpack(self):
        def isRequest(value):
            if not isinstance(value, list) or len(value) != 2:
                return False
            return isinstance(value[0], type(u"")) and isinstance(value[1], list)

        heads = [b"\x92", b"\x91", b"\x93", b"\x82", b"\xdc\x00\x02", b"\x92\x92"]
        names = [b"\xa0", b"\xa1A", b"\xa1\xff", b"\xa2a", b"\xbf" + b"x" * 31, b"\xbfxx"]
        names += [b"\xd9\x01a", b"\xc4\x01a", b"\xa3\xe2\x98\x83", b"\xa2\xe2\x98", b"\xc0", b"\x90"]
        rests = [b"", b"\x90", b"\x92\x01\xa1a", b"\x92\x01", b"\xc0", b"\x80", b"\xa1a", b"\x90\xc1"]
        rests += [b"\x91\xd4\x05x", b"\xdc\x00\x01\x05"]
        rests += [b"\x9f" + b"\x01" * 15, b"\x9f" + b"\x01" * 14, b"\xdc\x00\x10" + b"\x01" * 16]
        taken = 0
        for isCompatible in (False, True):
            self.patch(umsgpack, "compatibility", isCompatible)
            for payload in [head + name + rest for head in heads for name in names for rest in rests]:
                reason = None
                try:
                    expected = umsgpack.unpackb(payload)
                except Exception as error:
                    reason = repr(error)
                else:
                    if not isRequest(expected):
                        reason = "request is not"
                if reason is not None:
                    self.assertIn(reason, str(self.assertRaises(MalformedMessage, self.decode, payload)))
                else:
                    taken += 1
                    # 1, 1.0 and True are equal, and the bytes tell them apart.
                    self.assertEqual(umsgpack.packb(self.decode(payload)), umsgpack.packb(expected))
        self.assertGreater(taken, 20)

    def test_readFromAByteArray(self):
        payload = self.request(u"sayhi", 1)
        datagram = bytearray(b"\x00" + MESSAGE_ID + payload)
        self.assertEqual(wire.decode(datagram, wire.RPCUDP)[2], [u"sayhi", [1]])


class PlainRequestTests(RequestTests):
    """
    The same without the C extension, wherever there is one.
    """

    def setUp(self):
        RequestTests.setUp(self)
        for name in ("pack", "unpack", "unpackRequest"):
            self.patch(wire, name, getattr(_codec, name))

    def test_onlyArgumentsAreLeftToUMsgpack(self):
        self.request(u"sayhi")
        self.patch(umsgpack, "packb", None)
        self.patch(wire, "unpack", None)
        self.patch(_codec, "unpack", None)
        self.assertEqual(self.decode(self.request(u"sayhi", 1, [2, 3])), [u"sayhi", [1, [2, 3]]])


class DecodeTests(SynchronousTestCase):
    def assertMalformed(self, datagram, reason):
        error = self.assertRaises(MalformedMessage, wire.decode, datagram, wire.RPCUDP)
        self.assertIn(reason, str(error))

    def test_shorterThan22Bytes(self):
        for length in range(1, 22):
            self.assertMalformed((b"\x01" + MESSAGE_ID)[:length], "datagram is {} bytes, and 22".format(length))

    def test_empty(self):
        self.assertMalformed(b"", "kind")

    def test_anotherKind(self):
        for kind in range(2, 256):
            self.assertMalformed(bytes(bytearray([kind])) + MESSAGE_ID + b"\xc0", "kind is")

    def test_payloadThatIsNotMessagePack(self):
        for payload in (
            b"\xc1",  # reserved
            b"\xa5cut",
            b"\xa1\xff",  # not UTF-8
            b"\x82\x01\x01\x01\x01",  # a key twice
            b"\x81\x80\x01",  # a map for a key
            b"\xdd\xff\xff\xff\xff",  # an array of 2 ** 32 - 1 items
            b"\x91" * 128,
            b"\xc7\x0c\xff" + b"\x00" * 4 + b"\x7f" + b"\xff" * 7,  # a timestamp after the last date
        ):
            self.assertMalformed(b"\x01" + MESSAGE_ID + payload, "payload does not begin with")

    def test_trailingBytesAreIgnored(self):
        self.assertEqual(wire.decode(b"\x01" + MESSAGE_ID + b"\x07\xc1\xc1", wire.RPCUDP)[2], 7)

    def test_valueThatDoesNotEndWithin8192Bytes(self):
        self.assertMalformed(b"\x01" + MESSAGE_ID + b"\xc5\x1f\xfe" + b"x" * 8190, "payload does not begin with")

    def test_nestedDeeperThan128Levels(self):
        for level in (b"\x91", b"\x81\xc0", b"\xdc\x00\x01", b"\xdf\x00\x00\x00\x01\xc0"):
            start = b"\x01" + MESSAGE_ID
            wire.decode(start + level * 128 + b"\xc0", wire.RPCUDP)
            self.assertMalformed(start + level * 129 + b"\xc0", "payload is nested deeper than 128 levels")
        wire.decode(start + b"\x81" + b"\x91" * 127 + b"\xc0\xc0", wire.RPCUDP)
        self.assertMalformed(start + b"\x81" + b"\x91" * 128 + b"\xc0\xc0", "payload is nested deeper than 128 levels")

    def test_everyKindOfLevelCounts(self):
        start = b"\x01" + MESSAGE_ID + b"\x91" * 127
        levels = (b"\x81\xc0", b"\x8f" + bytes(bytearray(range(28))) + b"\x7f", b"\x91", b"\x9f" + b"\xc0" * 14)
        empty = (b"\x80", b"\x90", b"\xdc\x00\x00", b"\xdd" + b"\x00" * 4, b"\xde\x00\x00", b"\xdf" + b"\x00" * 4)
        for level in levels:
            for innermost in empty:
                wire.decode(start + innermost, wire.RPCUDP)
                self.assertMalformed(start + level + innermost, "payload is nested deeper than 128 levels")

    def test_wideIsNotDeep(self):
        for payload in (b"\xdc\x10\x00" + b"\x90" * 4096, b"\xc5\x10\x00" + b"\x91" * 4096):
            wire.decode(b"\x01" + MESSAGE_ID + payload, wire.RPCUDP)
        start = b"\x01" + MESSAGE_ID + b"\x9f" + b"\x90" * 14
        wire.decode(start + b"\x91" * 127 + b"\xc0", wire.RPCUDP)
        self.assertMalformed(start + b"\x91" * 128 + b"\xc0", "payload is nested deeper than 128 levels")

    def test_requestThatIsNotTextAndArray(self):
        for value in (
            None,
            u"method",
            {},
            [],
            [u"method"],
            [u"method", [], 1],
            [b"method", []],
            [None, []],
            [u"method", None],
            [u"method", u"arguments"],
            [u"method", {u"arguments": 1}],
        ):
            self.assertMalformed(b"\x00" + MESSAGE_ID + umsgpack.packb(value), "request is not")

    def test_responseMayBeAnything(self):
        for value in (None, u"text", [], [1, 2], {u"key": u"value"}):
            datagram = b"\x01" + MESSAGE_ID + umsgpack.packb(value)
            self.assertEqual(wire.decode(datagram, wire.RPCUDP), (b"\x01", MESSAGE_ID, value))


class MessageIDTests(SynchronousTestCase):
    def test_20BytesAndNeverTheSame(self):
        ids = {wire.newMessageID() for _ in range(1000)}
        self.assertEqual(len(ids), 1000)
        self.assertEqual({len(msgID) for msgID in ids}, {20})
