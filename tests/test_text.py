"""
What the command writes for a value, and what it takes an argument for.
"""

import datetime
import json

import umsgpack
from twisted.trial.unittest import SynchronousTestCase

from rpcudp._text import UsedWrongly, dumps, parse


class DumpsTests(SynchronousTestCase):
    def test_whatJSONHas(self):
        value = [None, True, False, 0, -1, 2**64 - 1, 1.5, u"text", [], {}, {u"a": [{u"b": 1}]}]
        self.assertEqual(json.loads(dumps(value)), value)

    def test_whatJSONLacks(self):
        for value, text in [
            (b"\x00\xff", '"hex:00ff"'),
            (b"", '"hex:"'),
            (float("nan"), '"float:nan"'),
            (float("inf"), '"float:inf"'),
            (-float("inf"), '"float:-inf"'),
            (umsgpack.Ext(5, b"\x01"), '"ext:5:01"'),
            (datetime.datetime(2020, 1, 2, 3, 4, 5), '"time:2020-01-02T03:04:05"'),
            ((1, b"\x02"), '[1, "hex:02"]'),
        ]:
            self.assertEqual(dumps(value), text)

    def test_keysThatAreNoTexts(self):
        for key, text in [
            (u"a", '"a"'),
            (b"\x01", '"hex:01"'),
            (1, '"1"'),
            (None, '"null"'),
            (True, '"true"'),
            (1.5, '"1.5"'),
            (float("nan"), '"float:nan"'),
            ((1, u"a"), '"[1, \\"a\\"]"'),
        ]:
            self.assertEqual(dumps({key: 7}), "{" + text + ": 7}")

    def test_keysThatLookAlikeAreBothThere(self):
        self.assertEqual(sorted(dumps({1: 2, u"1": 3})), sorted('{"1": 2, "1": 3}'))

    def test_oneLineOfASCIIWhateverThePeerSends(self):
        text = dumps([u"\n\r\x1b[2J\x9b\u2028\u202e\u2603", {u"\x1b": u"\U0001f600"}])
        self.assertTrue(all(" " <= character <= "~" for character in text), text)

    def test_everyNestingThatTravels(self):
        value = 0
        for _ in range(128):
            value = [value]
        self.assertEqual(json.loads(dumps(value)), value)


class ParseTests(SynchronousTestCase):
    def assertParsed(self, text, value, isJSON=True):
        parsed, reason = parse(text)
        self.assertEqual((parsed, type(parsed)), (value, type(value)))
        self.assertEqual(reason is None, isJSON)

    def test_JSONIsJSON(self):
        for text, value in [
            (u"5", 5),
            (u"-1e5", -1e5),
            (u"null", None),
            (u"true", True),
            (u' [1, "two"] ', [1, u"two"]),
            (u'{"a": 1}', {u"a": 1}),
            (u'"5"', u"5"),
            (u'"@home"', u"@home"),
        ]:
            self.assertParsed(text, value)

    def test_whatIsNoJSONIsText(self):
        for text in [u"five", u"", u"01", u"[1, 2", u"{", u"None", u"NaN", u"-Infinity", u"\u2603", u"float:nan"]:
            self.assertParsed(text, text, False)

    def test_hexIsBytes(self):
        self.assertParsed(u"hex:00fF", b"\x00\xff")
        self.assertParsed(u"hex:", b"")

    def test_hexWithinJSONIsBytes(self):
        self.assertParsed(u'["hex:00", {"hex:01": "hex:02"}]', [b"\x00", {b"\x01": b"\x02"}])

    def test_hexAsATextOfJSONIsText(self):
        self.assertParsed(u'"hex:00"', u"hex:00")

    def test_wrongHex(self):
        for text, sentence in [
            (u"hex:123", '"123" has an odd number of hexadecimal digits, 3, and two make a byte'),
            (u"hex:0x", '"0x" is not hexadecimal'),
            (u"hex:\u2603\u2603", '"\\u2603\\u2603" is not hexadecimal'),
            (u'["hex:1"]', '"1" has an odd number of hexadecimal digits, 1, and two make a byte'),
        ]:
            self.assertEqual(str(self.assertRaises(UsedWrongly, parse, text)), sentence)

    def test_integersThatNoPayloadHas(self):
        self.assertParsed(u"18446744073709551615", 2**64 - 1)
        for digits in (u"1" * 21, u"-" + u"1" * 20, u"1" * 5000):
            self.assertIn("is no integer of 64 bits", str(self.assertRaises(UsedWrongly, parse, digits)))

    def test_JSONThatNestsTooDeepToBeRead(self):
        error = self.assertRaises(UsedWrongly, parse, u"[" * 100000 + u"]" * 100000)
        self.assertIn("nests too deep", str(error))
        self.assertLess(len(str(error)), 200)
