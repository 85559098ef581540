"""
The stubs (C{.pyi}) lie beside the modules, and what type checkers accept by them does run.  C{tox -e types} has the
type checkers.
"""

import os
import sys

from twisted.internet import defer
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IUDPTransport
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import rpcudp
import storjrpcudp


# Now, as trial changes the current folder, and paths are relative on Python 2.
FOLDERS = [os.path.dirname(os.path.abspath(package.__file__)) for package in (rpcudp, storjrpcudp)]


class StubTests(SynchronousTestCase):
    def test_eachPublicModuleHasOne(self):
        for folder in FOLDERS:
            files = os.listdir(folder)
            isPublic = lambda name: name == "__init__.py" or not name.startswith("_")  # noqa: E731
            modules = [name for name in files if name.endswith(".py") and isPublic(name)]
            self.assertEqual(sorted(name for name in files if name.endswith(".pyi")), sorted(m + "i" for m in modules))
            self.assertIn("py.typed", files)


class ApplicationTests(SynchronousTestCase):
    def test_whatIsAcceptedRuns(self):
        if sys.version_info < (3, 9) or not hasattr(defer.Deferred, "__class_getitem__"):
            raise SkipTest("this Twisted or this Python has no types")
        from tests.typed.application import run

        outcomes = run()
        port, transport, timer, timers = outcomes.pop("passed on")
        for interface, thing in ((IListeningPort, port), (IUDPTransport, transport), (IDelayedCall, timer)):
            self.assertTrue(interface.providedBy(thing))
        self.assertTrue(all(map(IDelayedCall.providedBy, timers)))
        self.assertEqual(
            outcomes,
            {
                "declared": (True, 4),
                "declared as a method": (True, True),
                "deferred": (True, ["10.0.0.0", 1234]),
                "not declared": (True, 3),
                "call": (True, 7),
                "list": ((True, 4), (True, 4)),
                "hooks": ((True, 11), "add"),
                "coroutine": 15,
                "expected": 0.1,
                "ruled": ((False, None), 3),
                "partitioned": (False, None),
                "pending": "LimitReached",
                "figures": (True, 9),
                "storj": (True, "pong"),
                "made": 11,
                "version": True,
            },
        )
