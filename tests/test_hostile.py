# -*- coding: utf-8 -*-
"""
What a stranger's datagrams do, by kinds: nothing.
"""

import json
import os
import sys

import umsgpack
from twisted.trial.unittest import SynchronousTestCase

from tests.hostile import Judge, RPCUDPNode, StorjNode
from tests.test_wire import VECTORS

if sys.version_info >= (3,):
    from tests.properties import HostileDatagramTests  # noqa: F401, trial finds it here

# Drawn by Hypothesis from the strategies of properties.py, which Python 2 cannot run.
with open(os.path.join(os.path.dirname(__file__), "corpus.json")) as file:
    CORPUS = [bytes(bytearray.fromhex(datagram)) for datagram in json.load(file)]

# The message id of the call in flight.
IN_FLIGHT = b"\xff" * 20


class HostileTestCase(SynchronousTestCase):
    def setUp(self):
        self.judges = [Judge(RPCUDPNode), Judge(StorjNode)]
        for judge in self.judges:
            self.addCleanup(judge.close)

    def judge(self, datagram):
        for judge in self.judges:
            judge.judge(datagram)

    def judgePayload(self, payload):
        """
        Judge a payload in each kind of datagram.
        """
        for kind in (b"\x00", b"\x01", b"\x02", b"\x03"):
            self.judge(kind + IN_FLIGHT + payload)

    def judgeArgument(self, argument):
        """
        Judge MessagePack as the argument of requests, and as a result.
        """
        for method in (b"\xa4echo", b"\xa5count", b"\xa9generator", b"\xa5later"):
            self.judgePayload(b"\x92" + method + b"\x91" + argument)
        self.judgePayload(argument)

    def counts(self):
        return [(judge.answered, judge.fired) for judge in self.judges]


class CorpusTests(HostileTestCase):
    def test_corpus(self):
        for datagram in CORPUS:
            self.judge(datagram)
        for answered, fired in self.counts():
            # Or it would be a corpus of junk.
            self.assertGreater(answered, 10)
            self.assertGreater(fired, 10)

    def test_everyBeginningOfARealDatagram(self):
        for vector in VECTORS:
            datagram = bytes(bytearray.fromhex(vector["datagram"]))
            for length in range(min(len(datagram), 300)):
                self.judge(datagram[:length])

    def test_everyByteAsAPayload(self):
        for code in range(256):
            for rest in (b"", b"\x00" * 20, b"\xff" * 20):
                self.judgePayload(bytes(bytearray([code])) + rest)


class ArgumentTests(HostileTestCase):
    """
    Arguments, and results, that make trouble.
    """

    def test_deepNesting(self):
        # On Python 2, u-msgpack-python writes no more than two thirds of the depth that it reads.
        for levels in list(range(122, 132)) + list(range(132, 700, 40)) + [8000]:
            self.judgeArgument(b"\x91" * levels + b"\xc0")
            self.judgeArgument(b"\x81\xc0" * (levels // 2) + b"\xc0")
            self.judgeArgument(b"\x91" * levels)
        for answered, fired in self.counts():
            self.assertGreater(answered, 0)
            self.assertGreater(fired, 0)

    def test_deepNestingInAKey(self):
        for levels in range(110, 140):
            self.judgeArgument(b"\x81" + b"\x91" * levels + b"\xc0\xc0")

    def test_hugeAnnouncedLengths(self):
        for code in (0xC6, 0xC9, 0xDB, 0xDD, 0xDF):
            start = bytes(bytearray([code])) + b"\xff" * 4
            for rest in (b"", b"\x01", b"\x00" * 4000):
                self.judgeArgument(start + rest)
        self.judgeArgument(b"\xdd\x00\x00\xff\xff" * 1000)

    def test_duplicateKeys(self):
        self.judgeArgument(b"\x82\xa1k\x01\xa1k\x02")
        # 1, 1.0 and True are one key.
        self.judgeArgument(b"\x82\x01\xc0" + b"\xcb\x3f\xf0" + b"\x00" * 6 + b"\xc0")
        self.judgeArgument(b"\x82\x01\xc0\xc3\xc0")

    def test_unhashableKeys(self):
        for key in (b"\x80", b"\x81\x01\x02", b"\x91\x80", b"\x90", b"\x91\x91\x90"):
            self.judgeArgument(b"\x81" + key + b"\xc0")

    def test_keyThatIsNotANumber(self):
        nan = b"\xcb\x7f\xf8" + b"\x00" * 6
        self.judgeArgument(b"\x82" + nan + b"\x01" + nan + b"\x02")

    def test_invalidText(self):
        for text in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\x00"):
            for header in (bytes(bytearray([0xA0 + len(text)])), b"\xd9" + bytes(bytearray([len(text)]))):
                self.judgeArgument(header + text)

    def test_timestampsOutOfRange(self):
        for timestamp in (
            b"\xd6\xff" + b"\xff" * 4,
            b"\xd7\xff" + b"\xff" * 8,
            b"\xc7\x0c\xff" + b"\xff" * 12,
            b"\xc7\x0c\xff" + b"\x00" * 4 + b"\x7f" + b"\xff" * 7,
            b"\xc7\x0c\xff" + b"\x00" * 4 + b"\x80" + b"\x00" * 7,
            b"\xc7\x03\xff" + b"\x00" * 3,
            b"\xc7\x00\xff",
        ):
            self.judgeArgument(timestamp)

    def test_unknownExtensionTypes(self):
        for kind in (0x00, 0x05, 0x7F, 0x80, 0xFE):
            code = bytes(bytearray([kind]))
            self.judgeArgument(b"\xd4" + code + b"\x00")
            self.judgeArgument(b"\xc7\x05" + code + b"12345")

    def test_reservedCode(self):
        self.judgeArgument(b"\xc1")

    def test_longestPayload(self):
        for length in (8100, 8192, 8193, 9000, 60000):
            self.judgeArgument(b"\xc5\x1f\x00" + b"x" * length)
            self.judgeArgument(b"\xca\x00\x00\x00\x00" * (length // 5))
            self.judgePayload(b"\x92\xa5count\xdc\x06\x00" + b"\xca\x00\x00\x00\x00" * (length // 5))


class MethodTests(HostileTestCase):
    """
    Requests whose method is none.
    """

    def judgeMethod(self, method):
        self.judgePayload(b"\x92" + method + b"\x90")
        self.judgePayload(b"\x92" + method + b"\x91\x01")

    def test_emptyMethod(self):
        self.judgeMethod(b"\xa0")
        self.assertEqual([answered for answered, _ in self.counts()], [1, 1])

    def test_methodThatIsNotText(self):
        for method in (b"\xc0", b"\xc3", b"\x01", b"\xc4\x05count", b"\x90", b"\x80", b"\xd4\x05a", b"\x91\xa5count"):
            self.judgeMethod(method)

    def test_methodThatIsNoHandler(self):
        for method in (
            u"__init__",
            u"__class__",
            u"__getattr__",
            u"_acceptRequest",
            u"rpc_count",
            u"attribute",
            u"public",
            u"datagramReceived",
            u"transport",
            u"\u017c\u00f3\u0142w",
            u"\U0001f40d",
            u"count\u0000",
            u"COUNT",
            u"co\uff55nt",
            u" count",
            u"x" * 8000,
            u"\u017c" * 4000,
            u"{method}",
            u"%s%n",
        ):
            self.judgeMethod(umsgpack.packb(method))
        self.assertEqual([answered for answered, _ in self.counts()], [0, 0])

    def test_argumentsThatAreNoArray(self):
        for arguments in (b"\x80", b"\x81\xa1k\x01", b"\xa1x", b"\xc4\x01x", b"\xc0", b"\x01", b"\xd4\x05a"):
            self.judgePayload(b"\x92\xa5count" + arguments)
        self.assertEqual([answered for answered, _ in self.counts()], [0, 0])

    def test_requestThatIsNoPair(self):
        for request in (b"\x90", b"\x91\xa5count", b"\x93\xa5count\x90\x90", b"\x81\xa5count\x90", b"\xa5count"):
            self.judgePayload(request)
        self.assertEqual([answered for answered, _ in self.counts()], [0, 0])

    def test_argumentsThatDoNotFit(self):
        for method, count in ((b"\xa4echo", 0), (b"\xa4echo", 2), (b"\xa9generator", 0), (b"\xa9generator", 3)):
            self.judgePayload(b"\x92" + method + bytes(bytearray([0x90 + count])) + b"\x01" * count)
        self.assertEqual([answered for answered, _ in self.counts()], [0, 0])
