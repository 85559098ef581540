# -*- coding: utf-8 -*-
"""
MessagePack is what u-msgpack-python says, with the C extension as without.
"""

import datetime
import os
import subprocess
import sys
from collections import OrderedDict, namedtuple

import umsgpack
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rpcudp import _codec, wire
from tests.support import ENVIRONMENT, outcome

try:
    import msgpack
except ImportError:
    msgpack = None

try:
    from msgpack import _cmsgpack
except ImportError:
    _cmsgpack = None

if msgpack is not None and msgpack.version[0] != 1:
    # It is not to be used.
    _cmsgpack = None

if sys.version_info >= (3,):
    from tests.properties import RequestPropertyTests  # noqa: F401, trial finds it here

if _cmsgpack is not None:
    from tests.properties import CodecPropertyTests  # noqa: F401, trial finds it here


class Text(type(u"")):
    pass


class Integer(int):
    pass


class List(list):
    pass


class Map(dict):
    pass


Pair = namedtuple("Pair", ["first", "second"])


def nested(levels):
    value = None
    for _ in range(levels):
        value = [value]
    return value


class ChoiceTests(SynchronousTestCase):
    def test_theExtensionIsUsedWhereThereIsOne(self):
        expected = "rpcudp._codec" if _cmsgpack is None else "rpcudp._fastcodec"
        self.assertEqual(wire.pack.__module__, expected)
        self.assertEqual(wire.unpack is not umsgpack.unpackb, _cmsgpack is not None)


class OtherVersionsTests(SynchronousTestCase):
    """
    What else is installed changes nothing.
    """

    def importWith(self, text, extension=""):
        """
        @return: the module whose C{pack} is used where the package msgpack is C{text}.
        """
        folder = self.mktemp()
        os.makedirs(os.path.join(folder, "msgpack"))
        for name, source in (("__init__", text), ("_cmsgpack", extension)):
            with open(os.path.join(folder, "msgpack", name + ".py"), "w") as file:
                file.write(source)
        program = "import sys; sys.path.insert(0, {!r}); from rpcudp import wire; ".format(os.path.abspath(folder))
        program += "assert wire.unpack(wire.pack([u'text', b'bytes'])) == [u'text', b'bytes']; "
        program += "print(wire.pack.__module__)"
        return subprocess.check_output([sys.executable, "-c", program], env=ENVIRONMENT).decode("ascii").strip()

    def test_anotherMajorVersion(self):
        extension = "class Packer(object):\n    def __init__(self, **options):\n        pass\n"
        extension += "    def pack(self, value):\n        return b''\n"
        for version in ("(0, 5, 6)", "(0, 6, 2)", "(2, 0, 0)", "(10, 0, 0)"):
            self.assertEqual(self.importWith("version = " + version, extension), "rpcudp._codec")

    def test_withoutWhatIsAskedOfIt(self):
        for text, extension in (
            ("", ""),
            ("version = (1, 0, 0)", ""),
            ("version = '1.0.0'", ""),
            ("version = None", ""),
            ("version = (1, 0, 0)", "raise ImportError('undefined symbol')"),
            ("version = (1, 0, 0)", "raise SystemError('initialization failed')"),
            ("raise ValueError('broken')", ""),
        ):
            self.assertEqual(self.importWith(text, extension), "rpcudp._codec")


class FastCodecTestCase(SynchronousTestCase):
    if _cmsgpack is None:
        skip = "msgpack has no C extension here"


class UseTests(FastCodecTestCase):
    def test_theExtensionDoesTheWork(self):
        self.patch(umsgpack, "packb", None)
        self.patch(umsgpack, "unpackb", None)
        value = [u"find_node", [b"\x00" * 20, {u"key": (1, 2.5, None, True)}, 2 ** 64 - 1, -2 ** 63]]
        payload = wire.pack(value)
        value[1][1][u"key"] = [1, 2.5, None, True]
        self.assertEqual(wire.unpack(payload), value)

    def test_whatIsTooLongIsPackedByTheExtensionToo(self):
        self.patch(umsgpack, "packb", None)
        rows = [[number, u"a", {u"b": [number]}] for number in range(20000)]
        for value in (rows, {number: row for number, row in enumerate(rows)}, [[0] * 10 ** 6, []]):
            self.assertIn("over the limit", outcome(lambda value: wire.encode(b"\x00", b"\x00" * 20, value), value)[2])

    def test_nothingLongIsKeptInMemory(self):
        def residentMiB():
            with open("/proc/self/statm") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

        if not os.path.exists("/proc/self/statm"):
            raise SkipTest("only Linux can be asked what is resident")
        long = b"x" * (100 << 20)
        for refused in ([long], [long, 2 ** 64], [long, u"\ud800"]):
            before = residentMiB()
            self.assertEqual(outcome(lambda value: wire.encode(b"\x00", b"\x00" * 20, value), refused)[0], "refused")
            self.assertLess(residentMiB() - before, 20)

    def test_compatibilityModeOfUMsgpackHolds(self):
        self.patch(umsgpack, "compatibility", True)
        self.assertEqual(wire.pack(u"text" * 10), umsgpack.packb(u"text" * 10))
        self.assertEqual(wire.unpack(b"\xa4text"), b"text")


class AgreementTests(FastCodecTestCase):
    """
    What the two packers would not do alike is done as by u-msgpack-python.
    """

    def assertPacksAlike(self, value):
        for wrapped in (value, [value], (value,), {u"key": value}, [1, {u"key": [value]}]):
            self.assertEqual(outcome(wire.pack, wrapped), outcome(_codec.pack, wrapped))

    def assertUnpacksAlike(self, payload):
        for wrapped in (payload, b"\x91" + payload, b"\x81\xa1k" + payload, b"\x92\x01" + payload, payload + b"\x01"):
            self.assertEqual(outcome(wire.unpack, wrapped), outcome(umsgpack.unpackb, wrapped))

    def test_scalars(self):
        for value in (None, True, 0, -1, 2 ** 63, -2 ** 63, 2 ** 64 - 1, 0.0, -0.0, 1e300, float("inf"), u"", b""):
            self.assertPacksAlike(value)
            self.assertUnpacksAlike(umsgpack.packb(value))

    def test_integersOverSixtyFourBits(self):
        for value in (2 ** 64, -2 ** 63 - 1, 10 ** 100):
            self.assertPacksAlike(value)

    def test_surrogates(self):
        for value in (u"\ud800", u"a\udcffb"):
            self.assertPacksAlike(value)

    def test_subclasses(self):
        for value in (Text(u"text"), Integer(7), List([1]), Map(key=1), OrderedDict([(2, 1), (1, 2)]), Pair(1, 2)):
            self.assertPacksAlike(value)

    def test_whatOnlyTheExtensionKnows(self):
        for value in (
            bytearray(b"bytes"),
            memoryview(b"bytes"),
            msgpack.ExtType(5, b"data"),
            msgpack.Timestamp(5, 0),
        ):
            self.assertPacksAlike(value)

    def test_whatOnlyUMsgpackKnows(self):
        now = datetime.datetime(2026, 11, 22)
        for value in (umsgpack.Ext(5, b"data"), now, now.replace(tzinfo=datetime.timezone.utc)):
            self.assertPacksAlike(value)

    def test_whatNeitherKnows(self):
        for value in ({1}, 1j, object, range(3).__iter__, datetime.date(2026, 11, 22)):
            self.assertPacksAlike(value)

    def test_depth(self):
        for levels in (1, 120, 127, 128, 129, 200):
            self.assertPacksAlike(nested(levels))
            self.assertUnpacksAlike(b"\x91" * levels + b"\xc0")

    def test_endlessNesting(self):
        for times in (1, 2, 5000):
            value = []
            value += [value] * times
            self.assertEqual(outcome(wire.pack, value)[0], "refused")

    def test_keys(self):
        for value in ({(1, 2): 3}, {((1,), 2): 3}, {1: 2, u"1": 3, b"1": 4}, {None: 1, 1.5: 2}):
            self.assertPacksAlike(value)
            self.assertUnpacksAlike(umsgpack.packb(value))

    def test_keysTwice(self):
        for payload in (b"\x82\xa1k\x01\xa1k\x02", b"\x82\x01\xc0\xc3\xc0", b"\x82\x91\x01\xc0\x91\x01\xc0"):
            self.assertUnpacksAlike(payload)

    def test_keysThatCannotBe(self):
        for payload in (b"\x81\x80\x01", b"\x81\x91\x80\x01"):
            self.assertUnpacksAlike(payload)

    def test_extensionTypesAndTimestamps(self):
        for payload in (
            b"\xc7\x00\x05",
            b"\xd4\x05x",
            b"\xd8\x80" + b"x" * 16,
            b"\xd6\xff\x00\x00\x00\x01",
            b"\xd7\xff" + b"\x00" * 7 + b"\x01",
            b"\xd7\xff" + b"\xff" * 8,
            b"\xc7\x0c\xff" + b"\xff" * 12,
            b"\xc7\x04\xff\x00\x00\x00\x01",
            b"\xc8\x00\x08\xff" + b"\x00" * 8,
            b"\xd4\xff\x00",
            b"\xc7\x00\xff",
        ):
            self.assertUnpacksAlike(payload)

    def test_invalidText(self):
        for payload in (b"\xa1\xff", b"\xa3\xed\xa0\x80", b"\xd9\x02\xc0\x80", b"\xa1"):
            self.assertUnpacksAlike(payload)

    def test_trailingBytes(self):
        for payload in (b"\xc0\xc1", b"\x01" * 10, b"\xa1kx", b"\xc0" * 8192):
            self.assertUnpacksAlike(payload)

    def test_wideArraysAndMaps(self):
        for length in (1023, 1024, 1025, 4000):
            self.assertPacksAlike(list(range(length)))
            self.assertUnpacksAlike(umsgpack.packb(list(range(length))))
            self.assertUnpacksAlike(umsgpack.packb(dict.fromkeys(range(length))))

    def test_announcedLengths(self):
        for code in (b"\xc6", b"\xc9", b"\xdb", b"\xdd", b"\xdf"):
            for length in (b"\xff" * 4, b"\x00\x00\x1f\xff"):
                self.assertUnpacksAlike((code + length) * 3)
                self.assertUnpacksAlike((code + length) * 100)

    def test_emptyPayload(self):
        self.assertUnpacksAlike(b"")
