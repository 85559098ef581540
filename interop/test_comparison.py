"""
Each cell of the table that compares packages is what C{compared.py} observes.
"""

import io
import json
import os
import subprocess

from twisted.internet import defer
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from interop import environments

FILE = "README.md"
OURS = "this library"

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "compared.py")

OLD, NEW = "2.7", "3.13"


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def readTable():
    """
    @return: the table of L{FILE}, as a dictionary of its columns, by name.  Each is a dictionary of its cells, by the
        name of the row.
    """
    with io.open(os.path.join(environments.ROOT, FILE), encoding="utf-8") as source:
        lines = source.read().splitlines()
    [start] = [number for number, line in enumerate(lines) if line.startswith("|") and OURS in cells(line)]
    names = cells(lines[start])[1:]
    columns = {name: {} for name in names}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        row = cells(line)
        if len(row) != 1 + len(names) or row[0] in columns[names[0]]:
            raise ValueError("a row has too few or too many cells, or is there twice: " + line)
        for name, cell in zip(names, row[1:]):
            columns[name][row[0]] = cell
    return columns


class ColumnTests(object):
    """
    @cvar column: the name of the column.
    @cvar name: that of the package, as C{compared.py} takes it.
    @cvar tools: what C{compared.py} needs besides the package, where it makes more than a call.
    """

    timeout = 300
    tools = ()

    @property
    def package(self):
        return self.column.replace(" ", "==")

    @defer.inlineCallbacks
    def observe(self, python, *arguments):
        """
        @return: a L{Deferred} that fires with what was observed, and what went to standard error.
        """
        output, errors, _ = yield getProcessOutputAndValue(
            python, [SCRIPT, self.name] + list(arguments), environments.PROCESS_ENVIRONMENT
        )
        defer.returnValue((json.loads(output.decode("ascii") or "null"), errors))

    @defer.inlineCallbacks
    def runsOnOld(self):
        try:
            python = environments.python(OLD, [self.package])
        except subprocess.CalledProcessError as error:
            # That of another Python is not offered there; any other failure is one of the test.
            self.assertIn(b"No matching distribution found for " + self.package.encode("ascii"), error.output)
            defer.returnValue(False)
        observed, _ = yield self.observe(python, "call")
        defer.returnValue(observed is not None)

    @defer.inlineCallbacks
    def test_eachCellIsWhatIsObserved(self):
        observed, errors = yield self.observe(environments.python(NEW, [self.package] + list(self.tools)))
        self.assertIsNotNone(observed, errors)
        versions = [NEW]
        if (yield self.runsOnOld()):
            versions.insert(0, OLD)
        observed["Runs on"] += ", CPython " + " and ".join(versions)
        column = readTable()[self.column]
        self.assertEqual(sorted(column), sorted(observed))
        wrong = [
            "{}, {}: {} says {!r}, and what was observed is {!r}".format(row, self.column, FILE, cell, observed[row])
            for row, cell in column.items()
            if cell != observed[row]
        ]
        if wrong:
            self.fail("\n".join(wrong))


class OursTests(ColumnTests, TestCase):
    column, name = OURS, "rpcudp"

    @property
    def package(self):
        return environments.ours()


class RPCUDP21Tests(ColumnTests, TestCase):
    column, name = "rpcudp 2.1", "rpcudp"


class StorjRPCUDP24Tests(ColumnTests, TestCase):
    column, name = "storjrpcudp 2.4", "storjrpcudp"


class RPCUDP501Tests(ColumnTests, TestCase):
    column, name = "rpcudp 5.0.1", "asyncio"
    tools = ["twisted"]


class TxMsgpackRPC12Tests(ColumnTests, TestCase):
    column, name = "txmsgpackrpc 1.2", "txmsgpackrpc"
    tools = ["twisted[tls]"]


class TableTests(TestCase):
    def test_eachColumnIsObserved(self):
        self.assertEqual(sorted(readTable()), sorted(test.column for test in ColumnTests.__subclasses__()))
