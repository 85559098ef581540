"""
What C{rpcudp decode} says of datagrams, and of the calls in a capture.
"""

import binascii
import json
import os
import struct

import umsgpack
from twisted.trial.unittest import SynchronousTestCase

from rpcudp import _decode, wire
from rpcudp._capture import writeCapture
from rpcudp._decode import _findCalls, decode, decodeCapture, explain
from rpcudp._text import UsedWrongly
from rpcudp.exceptions import MalformedMessage
from rpcudp.protocol import RPCProtocol
from rpcudp.testing import Datagram, SimulatedNetwork
from tests.support import MESSAGE_ID, captureOutput

HERE = os.path.abspath(__file__)
ID = binascii.hexlify(MESSAGE_ID).decode("ascii")
CALLER, PEER = ("10.0.0.1", 5678), ("10.0.0.2", 1234)
REQUEST = wire.encode(b"\x00", MESSAGE_ID, [u"sayhi", [u"Snake", b"\xff"]])
RESPONSE = wire.encode(b"\x03", MESSAGE_ID, {b"\x01": None})


def toHex(data):
    return binascii.hexlify(data).decode("ascii")


class ExplainTests(SynchronousTestCase):
    def test_request(self):
        self.assertEqual(
            list(explain(REQUEST).items()),
            [
                ("network", "rpcudp"),
                ("kind", "request"),
                ("id", ID),
                ("method", u"sayhi"),
                ("arguments", [u"Snake", b"\xff"]),
            ],
        )

    def test_response(self):
        self.assertEqual(
            list(explain(RESPONSE).items()),
            [("network", "storj"), ("kind", "response"), ("id", ID), ("result", {b"\x01": None})],
        )

    def test_whatPublishedPeersSend(self):
        with open(os.path.join(os.path.dirname(HERE), "vectors.json")) as file:
            vectors = json.load(file)
        self.assertEqual(len(vectors), 96)
        for vector in vectors:
            said = explain(binascii.unhexlify(vector["datagram"]))
            self.assertEqual(said["kind"], vector["kind"])
            self.assertEqual(said["network"], "storj" if vector["datagram"][:2] in ("02", "03") else "rpcudp")
            self.assertEqual(said.get("method"), vector.get("method"))

    def test_noDatagram(self):
        for datagram, reason in [
            (b"", "it begins with nothing"),
            (b"\x04" + REQUEST[1:], "it begins with 04"),
            (REQUEST[:21], "datagram is 21 bytes, and 22 are the least"),
            (REQUEST[:-1], "payload does not begin with a MessagePack value"),
            (b"\x00" + RESPONSE[1:], "request is not"),
        ]:
            self.assertIn(reason, str(self.assertRaises(MalformedMessage, explain, datagram)))


class DecodeTests(SynchronousTestCase):
    def test_aLineOfJSONEach(self):
        status, out, err = captureOutput(self, decode, [toHex(REQUEST), toHex(RESPONSE)])
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(
            [json.loads(line) for line in out.splitlines()],
            [
                {
                    "network": "rpcudp",
                    "kind": "request",
                    "id": ID,
                    "method": "sayhi",
                    "arguments": ["Snake", "hex:ff"],
                },
                {"network": "storj", "kind": "response", "id": ID, "result": {"hex:01": None}},
            ],
        )

    def test_whatIsNoneIsSaidAndTheOthersAreDecoded(self):
        status, out, err = captureOutput(self, decode, [u"ff", toHex(REQUEST), u"00"])
        self.assertEqual((status, len(out.splitlines())), (1, 1))
        first, second = err.splitlines()
        self.assertIn("number 1 is no datagram of these networks: it begins with ff", first)
        self.assertIn("number 3 is no datagram of these networks: datagram is 1 bytes", second)

    def test_whatIsNotHexadecimalIsUsedWrongly(self):
        status, out, err = captureOutput(self, decode, [u"xy", u"ff", u"123", toHex(REQUEST)])
        self.assertEqual((status, len(out.splitlines()), len(err.splitlines())), (2, 1, 3))
        self.assertEqual(captureOutput(self, decode, [u"xy", u"ff"])[0], 2)
        self.assertIn('number 1: "xy" is not hexadecimal', err)
        self.assertIn('number 3: "123" has an odd number of hexadecimal digits, 3', err)

    def test_spacesAndColonsDoNotMatter(self):
        spaced = u" ".join(toHex(REQUEST)[start : start + 2] for start in range(0, 2 * len(REQUEST), 2))
        status, out, err = captureOutput(self, decode, [spaced + u"\n", u"\n", spaced.replace(u" ", u":")])
        self.assertEqual((status, len(out.splitlines()), err), (0, 2, ""))


class Node(RPCProtocol):
    def rpc_find_node(self, sender, key):
        return [key]


class CaptureTests(SynchronousTestCase):
    def calls(self, datagrams):
        """
        @return: the status, the lines that follow the times, and what is said besides.
        """
        path = self.mktemp()
        writeCapture(path, [Datagram(*datagram) for datagram in datagrams])
        status, out, err = captureOutput(self, decodeCapture, path)
        return status, [line.split(" ", 1)[1].rsplit(", id ", 1)[0] for line in out.splitlines()], err

    def test_answeredAndUnanswered(self):
        answer = wire.encode(b"\x01", MESSAGE_ID, 1)
        other = wire.encode(b"\x00", b"i" * 20, [u"other", []])
        outcome = self.calls([(1, CALLER, PEER, REQUEST), (1.25, PEER, CALLER, answer), (2, PEER, CALLER, other)])
        lines = [
            "10.0.0.1:5678 > 10.0.0.2:1234 sayhi answered in 250.000 ms, 1 copy",
            "10.0.0.2:1234 > 10.0.0.1:5678 other unanswered, 1 copy",
        ]
        self.assertEqual(outcome, (0, lines, ""))

    def test_time(self):
        path = self.mktemp()
        writeCapture(path, [Datagram(1700000000.25, CALLER, PEER, REQUEST)])
        _, out, _ = captureOutput(self, decodeCapture, path)
        words = out.split()
        self.assertEqual((words[0], words[-1]), ("2023-11-14T22:13:20.250000Z", ID))

    def test_copiesAreOfTheSameBytesBetweenTheSamePorts(self):
        changed = wire.encode(b"\x00", MESSAGE_ID, [u"sayhi", []])
        outcome = self.calls(
            [
                (1, CALLER, PEER, REQUEST),
                (2, CALLER, PEER, REQUEST),
                (3, CALLER, PEER, changed),
                (4, CALLER, ("10.0.0.3", 1234), REQUEST),
                (5, ("10.0.0.1", 1), PEER, REQUEST),
            ]
        )
        self.assertEqual([line[-8:] for line in outcome[1]], ["2 copies"] + [", 1 copy"] * 3)

    def test_aResponseFromAnotherAddress(self):
        answer = wire.encode(b"\x01", MESSAGE_ID, 1)
        _, lines, _ = self.calls([(1, CALLER, PEER, REQUEST), (2, ("10.0.0.9", 9), CALLER, answer)])
        self.assertIn("answered in 1000.000 ms", lines[0])

    def test_oneMessageIDForSeveralPeers(self):
        answer = wire.encode(b"\x01", MESSAGE_ID, 1)
        other = ("10.0.0.3", 1234)
        datagrams = [(1, CALLER, PEER, REQUEST), (2, CALLER, other, REQUEST), (4, PEER, CALLER, answer)]
        _, lines, _ = self.calls(datagrams + [(4, other, CALLER, answer)])
        for line, seconds in zip(lines, (3, 2)):
            self.assertIn("answered in {}000.000 ms, 1 copy".format(seconds), line)

    def test_whatIsNoResponseToIt(self):
        for source, destination, datagram in [
            (PEER, ("10.0.0.1", 1), wire.encode(b"\x01", MESSAGE_ID, 1)),
            (PEER, CALLER, wire.encode(b"\x01", b"i" * 20, 1)),
            (PEER, CALLER, wire.encode(b"\x03", MESSAGE_ID, 1)),
            (PEER, CALLER, b"\x01" + MESSAGE_ID + b"\xc1"),
        ]:
            _, lines, _ = self.calls([(1, CALLER, PEER, REQUEST), (2, source, destination, datagram)])
            self.assertIn("unanswered", lines[0])

    def test_responsesBesidesTheFirst(self):
        answer = wire.encode(b"\x01", MESSAGE_ID, 1)
        datagrams = [(1, CALLER, PEER, REQUEST), (2, PEER, CALLER, answer)]
        _, [line], _ = self.calls(datagrams + [(time + 2, a, b, data) for time, a, b, data in datagrams])
        self.assertTrue(line.endswith("sayhi answered in 1000.000 ms, 2 copies, 2 responses"), line)

    def test_IPv6AndNamesThatAreNoNames(self):
        request = wire.encode(b"\x02", MESSAGE_ID, [u"a\n\x1b[2J", []])
        _, [line], _ = self.calls([(1, ("2001:db8::1", 1), ("2001:db8::2", 2), request)])
        self.assertEqual(line, '[2001:db8::1]:1 > [2001:db8::2]:2 "a\\n\\u001b[2J" unanswered, 1 copy')

    def test_noCall(self):
        status, lines, err = self.calls([(1, CALLER, PEER, b"something else")])
        self.assertEqual((status, lines), (1, []))
        self.assertIn("there is no call in ", err)

    def snapshots(self, datagrams, length):
        """
        @return: what is said of a capture of the first C{length} bytes of each packet.
        """
        path, short = self.mktemp(), self.mktemp()
        writeCapture(path, [Datagram(*datagram) for datagram in datagrams])
        with open(path, "rb") as file, open(short, "wb") as shortened:
            shortened.write(file.read(24))
            for _ in datagrams:
                header = file.read(16)
                [size] = struct.unpack("<8xI4x", header)
                packet = file.read(size)[:length]
                shortened.write(header[:8] + struct.pack("<II", len(packet), size) + packet)
        return captureOutput(self, decodeCapture, short)

    def test_whatWasCapturedInPart(self):
        request = wire.encode(b"\x00", MESSAGE_ID, [u"store", [b"x" * 500]])
        answer = wire.encode(b"\x01", MESSAGE_ID, u"x" * 100)
        datagrams = [(1, CALLER, PEER, request), (2, PEER, CALLER, answer)]
        status, out, err = self.snapshots(datagrams, 96)
        self.assertEqual(status, 0)
        self.assertIn("store answered in 1000.000 ms", out)
        self.assertIn("some datagrams are there in part only", err)
        # Without the method, it is no call.
        status, out, err = self.snapshots(datagrams, 28 + 21 + 3)
        self.assertEqual((status, out), (1, ""))
        for hostile in (b"\x92" + b"\x91" * 600, b"\x92\xc4\x01m", b"\x91\xa1m", b"\x92\xa1\xff"):
            datagrams = [(1, CALLER, PEER, b"\x00" + MESSAGE_ID + hostile + b"\x90" * 9000)]
            status, out, _ = self.snapshots(datagrams, 28 + 21 + len(hostile))
            self.assertEqual((status, out), (1, ""))

    def test_aRequestInAnotherForm(self):
        # An array with two bytes for its length, which is as good.
        request = b"\x00" + MESSAGE_ID + b"\xdc\x00\x02\xd9\x01m\x90"
        [line] = self.calls([(1, CALLER, PEER, request)])[1]
        self.assertEqual(line, "10.0.0.1:5678 > 10.0.0.2:1234 m unanswered, 1 copy")

    def test_copiesOfWhichDifferentPartsWereCaptured(self):
        """
        They are of one call, whichever of them is whole, and wherever the response comes.
        """
        request = wire.encode(b"\x00", MESSAGE_ID, [u"store", [b"x" * 500]])
        other = wire.encode(b"\x00", MESSAGE_ID, [u"store", [b"y" * 500]])
        response = wire.encode(b"\x01", MESSAGE_ID, None)
        for lengths in ([300, 600], [600, 300], [300, 200], [200, 300], [600, 300, 600], [300, 600, 200]):
            for time in (3, 0.5):
                requests = [
                    (number, CALLER, PEER, request[:length], length > len(request))
                    for number, length in enumerate(lengths)
                ]
                datagrams = sorted(requests + [(time, PEER, CALLER, response, True)])
                [call] = _findCalls(datagrams)
                self.assertEqual((call.copies, call.responses, call.seconds), (len(lengths), 1, time))
        # What was in part is known once a copy is whole: another end is then another request.
        another = request[:-1] + b"z"
        requests = [(1, CALLER, PEER, request[:300], False), (2, CALLER, PEER, request, True)]
        calls = _findCalls(requests + [(3, CALLER, PEER, another, True)])
        self.assertEqual([call.copies for call in calls], [2, 1])
        calls = _findCalls([(1, CALLER, PEER, request[:300], False), (2, CALLER, PEER, other, True)])
        self.assertEqual([call.copies for call in calls], [1, 1])

    def test_aRequestInPartAtTheTimeOfItsResponse(self):
        response = (1, PEER, CALLER, wire.encode(b"\x01", MESSAGE_ID, None), True)
        self.patch(_decode, "readCapture", lambda file, passedOver: [response, (1, CALLER, PEER, REQUEST[:-1], False)])
        _, out, _ = captureOutput(self, decodeCapture, HERE)
        self.assertIn("sayhi answered in 0.000 ms", out)

    def test_theOrderOfTheTimesCounts(self):
        answer = wire.encode(b"\x01", MESSAGE_ID, 1)
        other = wire.encode(b"\x00", b"i" * 20, [u"other", []])
        datagrams = [(4, CALLER, PEER, other), (3, PEER, CALLER, answer), (2, CALLER, PEER, REQUEST)]
        _, lines, _ = self.calls(datagrams + [(1, CALLER, PEER, REQUEST)])
        expected = ["sayhi answered in 2000.000 ms, 2 copies", "other unanswered, 1 copy"]
        self.assertEqual([line.split(" ", 3)[3] for line in lines], expected)

    def test_otherLinkTypes(self):
        path = self.mktemp()
        writeCapture(path, [Datagram(1, CALLER, PEER, REQUEST)])
        with open(path, "rb") as file:
            data = file.read()
        with open(path, "wb") as file:
            file.write(data[:20] + struct.pack("<I", 127) + data[24:])
        status, out, err = captureOutput(self, decodeCapture, path)
        self.assertEqual((status, out), (1, ""))
        self.assertIn("packets of link type 127 are not read here, and were passed over", err)

    def test_aFileThatIsCutShort(self):
        path = self.mktemp()
        writeCapture(path, [Datagram(1, CALLER, PEER, REQUEST), Datagram(2, PEER, CALLER, RESPONSE)])
        with open(path, "rb") as file:
            data = file.read()
        with open(path, "wb") as file:
            file.write(data[:-1])
        raised = []

        def read():
            raised.append(self.assertRaises(UsedWrongly, decodeCapture, path))

        _, out, _ = captureOutput(self, read)
        self.assertIn("sayhi unanswered", out)
        self.assertTrue(str(raised[0]).endswith("cannot be read any further: it is cut short"), raised)

    def test_filesThatAreNone(self):
        for path, reason in [(HERE, "neither pcap nor pcapng"), (self.mktemp(), "No such file"), (".", "directory")]:
            self.assertIn(reason, str(self.assertRaises(UsedWrongly, decodeCapture, path)))

    def test_itSaysWhatTheTraceSays(self):
        network = SimulatedNetwork(seed=5, loss=0.2, jitter=0.1, trace=True)
        nodes = Node(waitTimeout=(0.3, 0.6)), Node()
        for number, node in enumerate(nodes):
            network.host("10.0.0.{}".format(number + 1)).listenUDP(8468, node)
        for number in range(50):
            network.run(nodes[0].find_node(("10.0.0.2", 8468), number))
        # What is still on its way.
        network.advance(10)
        expected = []
        for datagram, _ in network.trace:
            kind, msgID, value = wire.decode(datagram.data, wire.RPCUDP)
            # In the microseconds that a capture has.
            time = round(datagram.time, 6)
            if kind == b"\x01":
                [call] = [call for call in expected if call[0] == msgID]
                call[3].append(time - call[1])
            elif expected and expected[-1][0] == msgID:
                expected[-1][2] += 1
            else:
                expected.append([msgID, time, 1, []])
        path = self.mktemp()
        network.capture(path)
        _, out, _ = captureOutput(self, decodeCapture, path)
        lines = out.splitlines()
        self.assertEqual(len(lines), 50)
        copies, unanswered = 0, 0
        for line, (_, _, sent, answers) in zip(lines, expected):
            outcome = "answered in {:.3f} ms".format(answers[0] * 1000) if answers else "unanswered"
            outcome += ", 1 copy" if sent == 1 else ", {} copies".format(sent)
            outcome += ", {} responses".format(len(answers)) if len(answers) > 1 else ""
            self.assertIn(" find_node " + outcome, line)
            copies += sent - 1
            unanswered += not answers
        # Both did happen.
        self.assertGreater(copies, 5)
        self.assertGreater(unanswered, 0)
        self.assertEqual(umsgpack.unpackb(network.trace[0].datagram.data[21:]), [u"find_node", [0]])
