"""
wireshark/rpcudp.lua shows in tshark what is in a capture.  Without tshark, these tests are skipped.
"""

import binascii
import json
import os
import random
import struct
import subprocess

import umsgpack
from twisted.python.procutils import which
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rpcudp import wire
from rpcudp._capture import writeCapture
from rpcudp._decode import explain
from rpcudp._text import dumps
from rpcudp.exceptions import MalformedMessage
from rpcudp.protocol import RPCProtocol
from rpcudp.testing import Datagram, SimulatedNetwork
from tests.support import MESSAGE_ID

TESTS = os.path.dirname(os.path.abspath(__file__))
DISSECTOR = os.path.join(os.path.dirname(TESTS), "wireshark", "rpcudp.lua")
TSHARK = which("tshark")

CALLER, PEER, OTHER = ("10.0.0.1", 5678), ("10.0.0.2", 1234), ("10.0.0.3", 1234)
REQUEST = wire.encode(b"\x00", MESSAGE_ID, [u"find_node", [b"key", 20]])
RESPONSE = wire.encode(b"\x01", MESSAGE_ID, [[b"id", u"10.0.0.4", 8468]])


class Node(RPCProtocol):
    def rpc_find_node(self, sender, key):
        return [key]

    def rpc_ping(self, sender):
        return sender[1]


def packetOf(test, datagram):
    """
    @return: the IP packet of a datagram.
    """
    path = test.mktemp()
    writeCapture(path, [datagram])
    with open(path, "rb") as file:
        return file.read()[24 + 16 :]


def writePackets(path, packets):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 101))
        for seconds, packet in enumerate(packets):
            file.write(struct.pack("<IIII", seconds, 0, len(packet), len(packet)) + packet)


def _runsScripts(test):
    """
    @return: whether tshark does, which is found out once.
    """
    if not _answers:
        path = test.mktemp()
        writeCapture(path, [])
        # It knows of no such preference without the dissector.
        command = [TSHARK[0], "-r", path, "-X", "lua_script:" + DISSECTOR, "-o", "rpcudp.ports:1"]
        with open(os.devnull, "w") as nothing:
            _answers.append(subprocess.call(command, stdout=nothing, stderr=nothing) == 0)
    return _answers[0]


_answers = []


class DissectorTestCase(SynchronousTestCase):
    def setUp(self):
        if not TSHARK:
            raise SkipTest("there is no tshark; Debian's package tshark has it")
        if not os.path.exists(DISSECTOR):
            raise SkipTest("there is no wireshark/rpcudp.lua beside these tests")
        if os.geteuid() == 0 and not _runsScripts(self):
            raise SkipTest("this tshark runs no scripts for root")

    def tshark(self, path, *options):
        """
        @return: what it prints, without a folder of the user's.
        """
        home = self.mktemp()
        os.mkdir(home)
        environment = dict(os.environ, HOME=home, LC_ALL="C.UTF-8")
        for name in list(environment):
            if name.startswith(("XDG_", "WIRESHARK_")):
                del environment[name]
        command = [TSHARK[0], "-r", path, "-X", "lua_script:" + DISSECTOR, "-n"] + list(options)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        out, err = process.communicate()
        self.assertEqual(process.returncode, 0, err)
        self.assertNotIn(b"Lua", err)
        out = out.decode("utf-8")
        self.assertNotIn("Lua Error", out)
        return out

    def fields(self, datagrams, names, *options):
        """
        @return: for each frame a list of these fields.
        """
        path = self.mktemp()
        if isinstance(datagrams, SimulatedNetwork):
            datagrams.capture(path)
        else:
            writeCapture(path, [Datagram(*datagram) for datagram in datagrams])
        return self.fieldsOf(path, names, *options)

    def fieldsOf(self, path, names, *options):
        options = ["-T", "fields"] + list(options)
        for name in names:
            options += ["-e", name]
        lines = [line.split("\t") for line in self.tshark(path, *options).splitlines()]
        # In later versions a flag is a word.
        return [["1" if field == "True" else field for field in line] for line in lines]


class CallsTests(DissectorTestCase):
    def test_itSaysWhatTheTraceSays(self):
        network = SimulatedNetwork(seed=4, loss=0.2, duplication=0.05, jitter=0.1, trace=True)
        nodes = Node(waitTimeout=(0.3, 0.6)), Node()
        for number, node in enumerate(nodes):
            network.host("10.0.0.{}".format(number + 1)).listenUDP(8468, node)
        for number in range(40):
            network.run(nodes[0].find_node(("10.0.0.2", 8468), number))
            network.run(nodes[1].ping(("10.0.0.1", 8468)))
        network.advance(10)
        requests, responses, expected = {}, {}, []
        for number, (datagram, _) in enumerate(network.trace, 1):
            kind, msgID, value = wire.decode(datagram.data, wire.RPCUDP)
            time = round(datagram.time, 6)
            # The frame, the time and the method of the first request.
            first = requests.setdefault(msgID, (number, time, value[0] if kind == b"\x00" else None))
            repeated = first[0]
            if kind == b"\x01":
                repeated = responses.setdefault(msgID, number)
            expected.append([kind == b"\x01", msgID, first, repeated if repeated != number else None, time])
        names = ["kind", "network", "id", "method", "request_in", "time", "retransmission", "retransmission_of"]
        found = self.fields(network, ["rpcudp." + name for name in names])
        self.assertEqual(len(found), len(expected))
        for line, (isResponse, msgID, first, repeated, time) in zip(found, expected):
            number, began, method = first
            self.assertEqual(line[:4], ["01"[isResponse], "rpcudp", binascii.hexlify(msgID).decode(), method])
            self.assertEqual(line[4], str(number) if isResponse else "")
            self.assertEqual(line[5], "{:.9f}".format(round(time - began, 6)) if isResponse else "")
            self.assertEqual(line[6:], ["1" if repeated else "", str(repeated or "")])
        # There were all of these.
        self.assertGreater(sum(line[0] == "0" and line[6] == "1" for line in found), 5)
        self.assertGreater(sum(line[0] == "1" and line[6] == "1" for line in found), 2)
        # With two passes it says the same, and which requests have responses.
        names[4] = "response_in"
        twice = self.fields(network, ["rpcudp." + name for name in names], "-2")
        self.assertEqual([line[:4] + line[5:] for line in twice], [line[:4] + line[5:] for line in found])
        unanswered = set(requests) - set(responses)
        self.assertTrue(unanswered)
        filtered = ["-2", "-Y", "rpcudp.kind in {0, 2} and not rpcudp.response_in"]
        ids = {line[0] for line in self.fields(network, ["rpcudp.id"], *filtered)}
        self.assertEqual(ids, {binascii.hexlify(msgID).decode() for msgID in unanswered})
        finds = self.fields(network, ["rpcudp.id"], "-Y", 'rpcudp.method == "find_node"')
        self.assertEqual(len(finds), sum(first[2] == "find_node" for _, _, first, _, _ in expected))

    def test_theColumnSaysRetransmission(self):
        datagrams = [(1, CALLER, PEER, REQUEST), (2, CALLER, PEER, REQUEST), (2.25, PEER, CALLER, RESPONSE)]
        found = self.fields(datagrams, ["_ws.col.Protocol", "_ws.col.Info", "_ws.expert.message"])
        arguments = 'Request find_node: ["hex:6b6579", 20]'
        self.assertEqual(
            found,
            [
                ["RPCUDP", arguments, ""],
                ["RPCUDP", "[retransmission] " + arguments, "retransmission"],
                ["RPCUDP", 'Response to find_node after 1250.000 ms: [["hex:6964", "10.0.0.4", 8468]]', ""],
            ],
        )

    def test_anotherRequestWithTheSameMessageIDIsNoRetransmission(self):
        # Null bytes do not end the comparison.
        for kind in (b"\x00", b"\x02"):
            requests = [wire.encode(kind, b"\0" * 20, [u"store", [b"\0", number]]) for number in range(3)]
            found = self.fields([(1, CALLER, PEER, request) for request in requests], ["rpcudp.retransmission"])
            self.assertEqual(found, [[""]] * 3)

    def test_oneMessageIDForSeveralPeers(self):
        answers = [(3, PEER, CALLER, RESPONSE), (3, OTHER, CALLER, RESPONSE), (4, ("10.0.0.9", 999), CALLER, RESPONSE)]
        datagrams = [(1, CALLER, PEER, REQUEST), (2, CALLER, OTHER, REQUEST)] + answers
        found = self.fields(datagrams, ["rpcudp.request_in", "rpcudp.time", "rpcudp.retransmission"])
        # From an address that was not called, the latest may be meant.
        self.assertEqual(found[2:], [["1", "2.000000000", ""], ["2", "1.000000000", ""], ["2", "2.000000000", "1"]])

    def test_timesAreRoundedOnce(self):
        found = self.fields([(0.000001, CALLER, PEER, REQUEST), (1.000001, PEER, CALLER, RESPONSE)], ["rpcudp.time"])
        self.assertEqual(found[1], ["1.000000000"])
        found = self.fields([(10.5, CALLER, PEER, REQUEST), (10.4, PEER, CALLER, RESPONSE)], ["rpcudp.time"])
        self.assertEqual(found[1], ["-0.100000000"])

    def test_IPv6AndStorj(self):
        here, there = ("2001:db8::1", 1), ("2001:db8::2", 2)
        datagrams = [(1, here, there, b"\x02" + REQUEST[1:]), (2, there, here, b"\x03" + RESPONSE[1:])]
        found = self.fields(datagrams, ["rpcudp.kind", "rpcudp.network", "rpcudp.request_in"])
        self.assertEqual(found, [["2", "Storj", ""], ["3", "Storj", "1"]])

    def test_anErrorThatQuotesARequestIsNoRetransmission(self):
        whole = packetOf(self, Datagram(0, CALLER, PEER, REQUEST))
        long = packetOf(self, Datagram(0, CALLER, PEER, wire.encode(b"\x00", b"i" * 20, [u"m", [b"x" * 1000]])))
        packets = []
        for packet, quoted in ((whole, whole), (long, long[:548])):
            icmp = struct.pack(">BBHI", 3, 3, 0, 0) + quoted
            header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0)
            packets += [packet, header + packet[16:20] + packet[12:16] + icmp]
        path = self.mktemp()
        writePackets(path, packets)
        for options in ([], ["-2"], ["-V"]):
            out = self.tshark(path, *options)
            self.assertNotIn("retransmission", out)
            self.assertNotIn("Malformed", out)


class ValuesTests(DissectorTestCase):
    def test_whatPublishedPeersSendIsReadAsDecodeReadsIt(self):
        with open(os.path.join(TESTS, "vectors.json")) as file:
            datagrams = [binascii.unhexlify(vector["datagram"]) for vector in json.load(file)]
        self.assertEqual(len(datagrams), 96)
        frames = [(number, CALLER, PEER, datagram) for number, datagram in enumerate(datagrams)]
        names = ["rpcudp.method", "rpcudp.arguments", "rpcudp.result"]
        found = self.fields(frames, names, "-o", "rpcudp.ports:1234", "-E", "separator=/t")
        for datagram, (method, arguments, result) in zip(datagrams, found):
            said = explain(datagram)
            # It shows the bytes of a timestamp, and texts as they are.
            if b"time:" in dumps(said.get("result", said.get("arguments"))).encode():
                continue
            if said["kind"] == "request":
                self.assertEqual(method, said["method"])
                self.assertEqual(self.plain(arguments), self.plain(dumps(said["arguments"])))
            else:
                self.assertEqual(self.plain(result), self.plain(dumps(said["result"])))

    def plain(self, text):
        """
        @return: what a text of JSON says, keys that are alike included.
        """
        # tshark escapes what it prints once more.
        return json.loads(text.replace("\\\\", "\\"), object_pairs_hook=list)

    def test_theTree(self):
        value = [None, True, -1, -200, 2**64 - 1, -(2**63), 1.5, b"\x00\xff", u"\u2603", {u"a": [1]}, [1] * 16]
        value += [umsgpack.Ext(3, b"\x01"), umsgpack.Ext(5, b"\x01" * 16), b"", u"", {}, []]
        request = wire.encode(b"\x00", MESSAGE_ID, [u"m", value])
        path = self.mktemp()
        writeCapture(path, [Datagram(1, CALLER, PEER, request)])
        out = self.tshark(path, "-O", "rpcudp")
        lines = [line.strip() for line in out[out.index("Arguments: array") :].splitlines()]
        expected = ["Arguments: array of 17", "null", "true", "-1", "-200", str(2**64 - 1), str(-(2**63)), "1.5"]
        expected += ['"hex:00ff"', u'"\u2603"', "map of 1", 'key: "a"', "value: array of 1", "1", "array of 16"]
        expected += ["1"] * 16 + ['"ext:3:01"', '"ext:5:{}"'.format("01" * 16)]
        expected += ['"hex:"', '""', "map of 0", "array of 0"]
        self.assertEqual([line for line in lines if line], expected)

    def test_floats(self):
        values = [1.0, -0.0, 1 / 3.0, 5e-324, 1e300, 0.1, float("inf"), -float("inf")]
        response = wire.encode(b"\x01", MESSAGE_ID, values)
        [[found]] = self.fields([(1, PEER, CALLER, response)], ["rpcudp.result"], "-o", "rpcudp.ports:1234")
        texts = [text.strip('"').replace("float:", "") for text in found.strip("[]").split(", ")]
        self.assertEqual([repr(float(text)) for text in texts], [repr(value) for value in values])
        self.assertEqual(texts[:2], ["1.0", "-0.0"])
        [[found]] = self.fields(
            [(1, PEER, CALLER, wire.encode(b"\x01", MESSAGE_ID, float("nan")))],
            ["rpcudp.result"],
            "-o",
            "rpcudp.ports:1234",
        )
        self.assertEqual(found, '"float:nan"')

    def test_extensionsWithNegativeNumbers(self):
        # Not every u-msgpack-python has them.
        response = b"\x01" + MESSAGE_ID + b"\x92\xd4\xfd\x01\xc7\x00\x80"
        [[found]] = self.fields([(1, PEER, CALLER, response)], ["rpcudp.result"], "-o", "rpcudp.ports:1234")
        self.assertEqual(found, '["ext:-3:01", "ext:-128:"]')

    def test_bytesAfterThePayload(self):
        found = self.fields([(1, CALLER, PEER, REQUEST + b"more")], ["rpcudp.method", "rpcudp.trailing"])
        self.assertEqual(found, [["find_node", "6d6f7265"]])

    def test_aMethodOfAnyName(self):
        for name in [u'a"b', u"a b", u"\u2603", u"x" * 1000]:
            request = wire.encode(b"\x00", MESSAGE_ID, [name, []])
            condition = u'rpcudp.method == "{}"'.format(name.replace(u'"', u'\\"'))
            if str is bytes:
                condition = condition.encode("utf-8")
            self.assertEqual(len(self.fields([(1, CALLER, PEER, request)], ["rpcudp.id"], "-Y", condition)), 1, name)


class RecognitionTests(DissectorTestCase):
    def test_malformedDatagramsAreSaidToBeSo(self):
        """
        They are those that the library drops, but for what it does not look for.
        """
        chance = random.Random(2)
        seeds = [REQUEST, RESPONSE, b"\x02" + REQUEST[1:], wire.encode(b"\x03", MESSAGE_ID, [1.5, None, u"\u2603" * 9])]
        datagrams = []
        for _ in range(3000):
            mutant = bytearray(chance.choice(seeds))
            for _ in range(chance.randint(0, 2)):
                mutant[chance.choice([0, chance.randrange(21, len(mutant))])] = chance.randrange(256)
            datagrams.append(bytes(mutant[: chance.choice([len(mutant), chance.randrange(1, len(mutant) + 1)])]))
        deep = b"\x92\xa1m"
        for levels in (126, 127):
            datagrams.append(b"\x00" + MESSAGE_ID + deep + b"\x91" * levels + b"\x90" * (levels < 127))
        for announced in (b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"):
            datagrams.append(b"\x01" + MESSAGE_ID + announced + b"\xff" * 4 + b"xx")
        datagrams.append(b"\x00" + MESSAGE_ID + b"\x92\xa1\xff\x90")
        frames = [(number, CALLER, PEER, datagram) for number, datagram in enumerate(datagrams)]
        found = self.fields(frames, ["rpcudp.malformed"], "-o", "rpcudp.ports:1234")
        differing = malformedOnes = 0
        for datagram, [isMalformed] in zip(datagrams, found):
            try:
                explain(datagram)
            except MalformedMessage as error:
                malformedOnes += 1
                # Keys that are alike or no keys, dates that Python has not, what the oldest u-msgpack-python has not.
                isExcepted = any(text in str(error) for text in ("Key", "verflow", "ext type", "code -1"))
                self.assertTrue(isMalformed or isExcepted, (datagram, error))
                differing += not isMalformed
            else:
                self.assertEqual(isMalformed, "", datagram)
        self.assertGreater(malformedOnes, 500)
        self.assertLess(differing, 20)

    def test_withoutAPort(self):
        junk = [(number, CALLER, PEER, data) for number, data in enumerate([b"\0junk", RESPONSE, b"\x07" * 30])]
        found = self.fields(junk + [(4, CALLER, PEER, REQUEST)] + junk, ["_ws.col.Protocol", "rpcudp.malformed"])
        # A request beyond doubt says what the rest is.
        self.assertEqual([line[0] for line in found], ["UDP"] * 3 + ["RPCUDP"] * 4)
        self.assertEqual([bool(line[1]) for line in found[4:]], [True, False, True])

    def test_aResponseFromElsewhere(self):
        found = self.fields([(1, CALLER, PEER, REQUEST), (2, OTHER, CALLER, RESPONSE)], ["rpcudp.request_in"])
        self.assertEqual(found, [[""], ["1"]])

    def test_ports(self):
        datagrams = [(1, CALLER, PEER, b"\0junk"), (1, CALLER, ("10.0.0.2", 99), b"\0junk")]
        for options in (["-o", "rpcudp.ports:1000-1234"], ["-d", "udp.port==1234,rpcudp"]):
            found = self.fields(datagrams, ["_ws.col.Protocol"], *options)
            self.assertEqual(found, [["RPCUDP"], ["UDP"]])

    def test_snapshotsAreNotMalformed(self):
        path = self.mktemp()
        response = wire.encode(b"\x01", MESSAGE_ID, b"x" * 500)
        whole = packetOf(self, Datagram(0, CALLER, PEER, REQUEST)), packetOf(self, Datagram(0, PEER, CALLER, response))
        with open(path, "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 96, 101))
            for seconds, packet in enumerate(whole):
                file.write(struct.pack("<IIII", seconds, 0, len(packet[:96]), len(packet)) + packet[:96])
        found = self.fieldsOf(path, ["_ws.col.Info", "rpcudp.time", "rpcudp.malformed"])
        text = "Response to find_node after 1000.000 ms: 68 bytes of a datagram that is not all here"
        self.assertEqual(found[1], [text, "1.000000000", ""])
