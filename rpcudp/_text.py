"""
What the command reads and writes: sentences, addresses, and values as JSON, with something in the place of what JSON
lacks::

    "hex:00ff"        bytes
    "float:nan"       the floats that are no numbers; float:inf and float:-inf too
    "ext:5:00ff"      an extension type of MessagePack, with its number and bytes
    "time:..."        a timestamp, in the form of ISO 8601

What is written is one line of ASCII, whatever a peer has sent, so that nothing of it is a control sequence to a
terminal.
"""

from __future__ import print_function

import argparse
import binascii
import datetime
import json
import math
import re
import sys

import umsgpack

# Of what was written wrongly, how much a sentence quotes.
_QUOTED = 60

# Characters: -(2**63) and 2**64 - 1 have 20.
_LONGEST_INTEGER = 20


class UsedWrongly(argparse.ArgumentTypeError):
    """
    The command cannot do what it is told to; the text says why.  Where argparse asks, it tells the option too.
    """


def tell(text):
    """
    Print a line to standard error.  Where that cannot be written to, nobody is told, and nothing else happens.
    """
    try:
        print(str(escape(text)), file=sys.stderr)
        # Python 3.8 keeps lines until there are many.
        sys.stderr.flush()
    except EnvironmentError:
        pass


def complain(command, sentence):
    """
    @param command: the name of the subcommand, or nothing.

    @param sentence: what is the matter, without the full stop.
    """
    tell(u"rpcudp {}: {}.".format(command, sentence) if command else u"rpcudp: {}.".format(sentence))


def escape(text):
    """
    @return: C{text} on one line, and in ASCII.
    """
    if isinstance(text, bytes):
        # Of Python 2.
        text = text.decode("utf-8", "replace")
    return re.sub(u"[^ -~]", lambda match: json.dumps(match.group())[1:-1], text)


def reasonOf(error):
    """
    @return: what an exception says, or, if that fails, what it is.
    @rtype: a string of ASCII
    """
    try:
        return escape(str(getattr(error, "strerror", None) or error))
    except Exception:
        return type(error).__name__


def formatAddress(address):
    """
    @return: an C{(ip, port)} pair as one word, which is with brackets for IPv6.
    """
    return ("[{}]:{}" if ":" in address[0] else "{}:{}").format(*address)


def dumps(value):
    """
    @param value: what MessagePack can carry.

    @return: C{value} as JSON.  Keys of a map that are no texts become their JSON text, so there may be two alike.
    @rtype: a native string of ASCII
    """
    if isinstance(value, dict):
        return "{" + ", ".join("{}: {}".format(_dumpKey(key), dumps(part)) for key, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(dumps, value)) + "]"
    return json.dumps(_standIn(value))


def _dumpKey(key):
    text = dumps(key)
    return text if text.startswith('"') else json.dumps(text)


def _standIn(value):
    """
    @return: what stands for C{value} in JSON.
    """
    if isinstance(value, bytes):
        return "hex:" + toHex(value)
    if isinstance(value, float) and (math.isnan(value) or math.isinf(value)):
        return "float:{}".format(value)
    if isinstance(value, umsgpack.Ext):
        return "ext:{}:{}".format(value.type, toHex(value.data))
    if isinstance(value, datetime.datetime):
        return "time:" + value.isoformat()
    return value


def toHex(data):
    """
    @return: C{data} in hexadecimal digits.
    """
    return binascii.hexlify(data).decode("ascii")


def quote(text):
    """
    @return: C{text} as a sentence quotes it: on one line, in ASCII, and not too long.
    """
    return json.dumps(text if len(text) <= _QUOTED else text[:_QUOTED] + u"...")


def parseHex(digits):
    """
    @return: the L{bytes} that hexadecimal digits stand for.

    @raise UsedWrongly: if they are none, or not two for each byte.
    """
    if re.search(u"[^0-9a-fA-F]", digits):
        raise UsedWrongly("{} is not hexadecimal".format(quote(digits)))
    if len(digits) % 2:
        text = "{} has an odd number of hexadecimal digits, {}, and two make a byte"
        raise UsedWrongly(text.format(quote(digits), len(digits)))
    return binascii.unhexlify(digits.encode("ascii"))


def parse(text):
    """
    @param text: an argument of a call, as it is written in a shell.

    @return: the value that it stands for, and why it is not JSON: C{None} if it is, or begins with C{hex:}.  What is
        neither is text.  In the lists and objects of JSON, texts that begin with C{hex:} are bytes too.
    @rtype: L{tuple} of the value and a string or C{None}

    @raise UsedWrongly: if what follows C{hex:} is not hexadecimal, or the JSON nests too deep to be read.
    """
    if text.startswith(u"hex:"):
        return parseHex(text[4:]), None
    try:
        value = json.loads(text, parse_int=_parseInteger, parse_constant=_refuseConstant)
        # A text by itself may begin with hex: when it is written as JSON.
        return value if isinstance(value, type(u"")) else _bytesWithin(value), None
    except ValueError as error:
        return text, reasonOf(error)
    except RuntimeError:
        # RecursionError, which Python 2 does not have.
        raise UsedWrongly("{} nests too deep".format(quote(text)))


def _parseInteger(digits):
    # Python reads no more than some thousand digits, and would call more of them no JSON.
    if len(digits) > _LONGEST_INTEGER:
        raise UsedWrongly("{} is no integer of 64 bits".format(quote(digits)))
    return int(digits)


def _refuseConstant(name):
    # Python reads NaN and its kin, and JSON has none.
    raise ValueError("{} is no JSON".format(name))


def _bytesWithin(value):
    if isinstance(value, list):
        return [_bytesWithin(part) for part in value]
    if isinstance(value, dict):
        return {_bytesWithin(key): _bytesWithin(part) for key, part in value.items()}
    if isinstance(value, type(u"")) and value.startswith(u"hex:"):
        return parseHex(value[4:])
    return value
