"""
Datagrams as Hypothesis makes them: arbitrary bytes, real ones mutated, and MessagePack of any shape.  Python 3 only.
"""

import datetime
import enum
import struct
from collections import Counter, OrderedDict

import umsgpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rpcudp import _codec, wire
from rpcudp._nesting import isDeeper
from tests.hostile import Handlers, Judge, RPCUDPNode, StorjNode, depth
from tests.lossy import FATES, FAULTS, HANDLERS, SIDES, STEPS, simulate
from tests.support import outcome
from tests.test_wire import VECTORS

REAL = [bytes.fromhex(vector["datagram"]) for vector in VECTORS]

# How a value that has a length begins: with a code to which the length is added, or that it follows; and the most that
# each can say.
BEGINNINGS = {
    "text": [(0xA0, 31, None), (0xD9, 0xFF, ">B"), (0xDA, 0xFFFF, ">H"), (0xDB, 0xFFFFFFFF, ">I")],
    "bytes": [(0xC4, 0xFF, ">B"), (0xC5, 0xFFFF, ">H"), (0xC6, 0xFFFFFFFF, ">I")],
    "extension": [(0xC7, 0xFF, ">B"), (0xC8, 0xFFFF, ">H"), (0xC9, 0xFFFFFFFF, ">I")],
    "array": [(0x90, 15, None), (0xDC, 0xFFFF, ">H"), (0xDD, 0xFFFFFFFF, ">I")],
    "map": [(0x80, 15, None), (0xDE, 0xFFFF, ">H"), (0xDF, 0xFFFFFFFF, ">I")],
}
NUMBERS = [(0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8), (0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8), (0xCA, 4), (0xCB, 8)]
NUMBERS += [(0xD4, 2), (0xD5, 3), (0xD6, 5), (0xD7, 9), (0xD8, 17)]  # extensions of a fixed length


def beginning(draw, shape, length):
    """
    @return: one of the ways to begin a value of C{length}, the longer ones than needed included.
    """
    code, most, size = draw(st.sampled_from([way for way in BEGINNINGS[shape] if length <= way[1]]))
    return struct.pack(">B", code + length) if size is None else struct.pack(">B", code) + struct.pack(size, length)


# Mostly such as are a value by themselves.
codes = st.one_of(
    st.integers(0x00, 0x7F),
    st.integers(0xE0, 0xFF),
    st.sampled_from([0x80, 0x90, 0xA0, 0xC0, 0xC2, 0xC3]),
    st.integers(0, 255),
)

texts = st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass"))


@st.composite
def values(draw, depth=3):
    """
    One MessagePack value; u-msgpack-python may refuse it all the same, for a key or a date or its spelling.
    """
    shape = draw(st.sampled_from(["byte", "number", "text", "bytes", "extension"] + ["array", "map"] * (depth > 0)))
    if shape == "byte":
        return struct.pack(">B", draw(codes))
    if shape == "number":
        code, width = draw(st.sampled_from(NUMBERS))
        return struct.pack(">B", code) + draw(st.binary(min_size=width, max_size=width))
    if shape == "array":
        items = draw(st.lists(values(depth - 1), max_size=5))
        return beginning(draw, shape, len(items)) + b"".join(items)
    if shape == "map":
        items = draw(st.lists(values(depth - 1), max_size=3))
        others = draw(st.lists(values(depth - 1), min_size=len(items), max_size=len(items)))
        return beginning(draw, shape, len(items)) + b"".join(map(bytes.__add__, items, others))
    body = draw(st.one_of(texts, st.binary(max_size=30)))
    if shape == "extension":
        # A timestamp as often as not.
        return beginning(draw, shape, len(body)) + draw(st.sampled_from([b"\xff", b"\x05", b"\x80"])) + body
    return beginning(draw, shape, len(body)) + body


@st.composite
def requests(draw):
    """
    C{[method, arguments]}, with arguments that fit some handler or other.
    """
    method = draw(st.sampled_from(sorted(Handlers.ARGUMENTS))).encode("ascii")
    arguments = draw(st.lists(values(), max_size=2))
    return (
        beginning(draw, "array", 2)
        + beginning(draw, "text", len(method))
        + method
        + beginning(draw, "array", len(arguments))
        + b"".join(arguments)
    )


@st.composite
def wrongRequests(draw):
    """
    Such as are no requests, or for no handler.
    """
    method = draw(
        st.one_of(
            st.sampled_from([u"count", u"attribute", u"public", u"__init__", u"__class__", u"rpc_echo", u"\0"]),
            st.text(max_size=40),
            st.integers(0, 9000).map(lambda length: u"x" * length),
        )
    ).encode("utf-8", "surrogatepass")
    arguments = draw(st.lists(values(), max_size=3))
    return (
        draw(st.sampled_from([b"\x92", b"\x92", b"\x91", b"\x93", b"\x82"]))
        + beginning(draw, draw(st.sampled_from(["text", "bytes"])), len(method))
        + method
        + beginning(draw, draw(st.sampled_from(["array", "map", "text", "bytes"])), len(arguments))
        + b"".join(arguments)
    )


@st.composite
def repeated(draw):
    """
    Deep nesting, wide arrays, announced lengths without an end.
    """
    start = draw(st.sampled_from([b"", b"\x92\xa4echo\x91", b"\x92\xa5count", b"\x92\xa5count\x91"]))
    unit = draw(st.one_of(st.sampled_from([b"\x91", b"\x81", b"\x81\xc0", b"\xdd\xff\xff\xff\xff"]), values(1)))
    return start + unit * draw(st.one_of(st.integers(1, 600), st.integers(1, 9000 // len(unit) + 1))) + draw(values(0))


@st.composite
def mutants(draw):
    """
    What the published packages send, with a few bytes changed, added or left out.
    """
    datagram = draw(st.sampled_from(REAL))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(datagram)))
        end = start + draw(st.sampled_from([0, 0, 1, 1, 2, 8, 200]))
        datagram = datagram[:start] + draw(st.binary(max_size=3)) + datagram[end:]
    return datagram


# Twenty bytes 0xFF stand for the message id of a call in flight.
heads = st.tuples(
    st.sampled_from([b"\x00", b"\x00", b"\x02", b"\x02", b"\x01", b"\x03", b"\x04"]),
    st.one_of(st.just(b"\xff" * 20), st.binary(min_size=20, max_size=20)),
).map(b"".join)
payloads = st.one_of(requests(), requests(), requests(), wrongRequests(), values(), repeated(), st.binary(max_size=100))
datagrams = st.one_of(
    st.binary(max_size=60),
    mutants(),
    st.tuples(heads, payloads).map(b"".join),
    st.tuples(heads, payloads, st.binary(max_size=9)).map(b"".join),
)

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2 ** 65), 2 ** 65),
    st.floats(),
    st.text(st.characters(exclude_categories=[]), max_size=20),
    st.binary(max_size=20),
)
odd = st.one_of(
    st.binary(max_size=20).map(bytearray),
    st.binary(max_size=20).map(memoryview),
    st.builds(umsgpack.Ext, st.integers(0, 127), st.binary(max_size=20)),
    st.datetimes(timezones=st.sampled_from([None, datetime.timezone.utc])),
    st.dates(),
    st.sets(st.integers(), max_size=2),
    st.text(max_size=9).map(type("Text", (str,), {})),
    st.integers(-9, 9).map(type("Integer", (int,), {})),
    st.sampled_from(enum.IntEnum("Number", ["ONE", "TWO"])),
)
objects = st.recursive(
    st.one_of(plain, plain, plain, odd),
    lambda parts: st.one_of(
        st.lists(parts, max_size=5),
        st.lists(parts, max_size=5).map(tuple),
        st.dictionaries(st.one_of(plain, st.tuples(plain)), parts, max_size=4),
        st.dictionaries(plain, parts, max_size=2).map(OrderedDict),
        st.lists(parts, max_size=2).map(type("List", (list,), {})),
    ),
    max_leaves=12,
)

# What tests.lossy.simulate does, and when.  Not seldom two things at one time, or what is done at once.
times = st.one_of(st.sampled_from([0, 0.5, 1.5, 3.5]), st.floats(0, 5))
deeds = st.one_of(
    st.tuples(st.just("partition"), times),
    st.tuples(st.just("crash"), st.sampled_from(SIDES), times),
    st.tuples(st.just("close"), st.sampled_from(SIDES), times),
    st.tuples(st.just("step"), st.sampled_from(SIDES), st.one_of(st.sampled_from(STEPS), st.floats(-3600, 3600))),
)
calls = st.tuples(
    times,
    st.sampled_from(HANDLERS),
    st.one_of(st.none(), st.none(), times),
    st.one_of(st.none(), st.none(), deeds, st.tuples(st.just("call"), st.sampled_from(HANDLERS))),
)
programs = st.fixed_dictionaries(
    {
        "calls": st.lists(calls, min_size=1, max_size=6),
        "fates": st.lists(
            st.one_of(st.sampled_from(FATES), st.lists(st.floats(0, 100), max_size=3).map(tuple)), max_size=60
        ),
        "events": st.lists(st.tuples(times, deeds).map(lambda event: (event[0],) + event[1]), max_size=6),
        "lifetime": st.sampled_from([60, 4]),
    }
)

batches = given(st.lists(datagrams, min_size=1, max_size=20))


def judgeAll(judges, batch):
    for datagram in batch:
        for judge in judges:
            judge.judge(datagram)


class CodecPropertyTests(SynchronousTestCase):
    """
    The C extension does as u-msgpack-python does.
    """

    settings = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

    def test_packsAlike(self):
        @self.settings
        @given(objects)
        def check(value):
            self.assertEqual(outcome(wire.pack, value), outcome(umsgpack.packb, value))

        check()

    def test_unpacksAlike(self):
        @self.settings
        @given(st.one_of(values(), requests(), wrongRequests(), st.binary(max_size=100)), st.binary(max_size=9))
        def check(payload, trailing):
            for whole in (payload, payload + trailing):
                self.assertEqual(outcome(wire.unpack, whole), outcome(umsgpack.unpackb, whole))

        check()

    def test_hostilePayloadsAreRefusedAlike(self):
        # Beyond the limit of wire, how deep is too deep depends on the stack, of which the C extension has its own.
        @self.settings
        @given(repeated())
        def check(payload):
            # The type of a refusal, and the whole of a value.
            self.assertEqual(self.decode(payload, wire.unpack)[:2], self.decode(payload, umsgpack.unpackb)[:2])

        check()

    def decode(self, payload, unpack):
        original, wire.unpack = wire.unpack, unpack
        try:
            return outcome(lambda datagram: wire.decode(datagram, wire.RPCUDP)[2], b"\x01" * 21 + payload)
        finally:
            wire.unpack = original


class RequestPropertyTests(SynchronousTestCase):
    """
    Requests are written and read as by u-msgpack-python, with the C extension and without.
    """

    settings = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

    def test_packedAlike(self):
        @self.settings
        @given(st.text(st.characters(exclude_categories=[]), max_size=40), st.lists(objects, max_size=20).map(tuple))
        def check(method, arguments):
            expected = outcome(umsgpack.packb, (method, arguments))
            for pack in (wire.pack, _codec.pack):
                self.assertEqual(outcome(lambda value: pack(value, method), arguments), expected)

        check()

    def test_unpackedAlike(self):
        @self.settings
        @given(st.one_of(requests(), requests(), wrongRequests(), values()), st.binary(max_size=9))
        def check(payload, trailing):
            for whole in (payload, payload + trailing, payload[:-1]):
                expected = outcome(umsgpack.unpackb, whole)
                for unpackRequest in (wire.unpackRequest, _codec.unpackRequest):
                    self.assertEqual(outcome(unpackRequest, whole), expected)

        check()


class NestingPropertyTests(SynchronousTestCase):
    @settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(values(depth=6), st.binary(max_size=9))
    def test_asDeepAsTheValueIs(self, payload, trailing):
        try:
            levels = depth(umsgpack.unpackb(payload))
        except Exception:
            # What u-msgpack-python refuses has no depth to compare.
            return
        self.assertFalse(isDeeper(payload + trailing, levels))
        if levels:
            self.assertTrue(isDeeper(payload + trailing, levels - 1))


class LossPropertyTests(SynchronousTestCase):
    def test_whateverTheFaults(self):
        happened = Counter()

        @settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(programs)
        def check(program):
            try:
                happened.update(simulate(**program))
            finally:
                self.flushLoggedErrors(ValueError)

        check()
        # Or nothing would have been proved.
        self.assertEqual([fault for fault in FAULTS + ["answered"] if not happened[fault]], [])


class HostileDatagramTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @batches
    def check(self, batch):
        judgeAll(self.judges, batch)

    def test_noDatagramDoesAnythingButCallHandlersAndAnswerCalls(self):
        self.judges = [Judge(RPCUDPNode), Judge(StorjNode)]
        for judge in self.judges:
            self.addCleanup(judge.close)
        self.check()
        for judge in self.judges:
            # Or the judge would have seen nothing but junk.
            self.assertGreater(judge.answered, 0)
            self.assertGreater(judge.fired, 0)
