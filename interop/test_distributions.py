"""
Two distributions own the import package rpcudp: what happens where both have been installed, and how it is mended.
"""

from twisted.internet import defer
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from interop import environments


class MixedTests(object):
    """
    @cvar python: the interpreter.
    @cvar steps: what to install there, one after another.
    @cvar uninstalled: what is uninstalled then.
    @cvar others: what has to be uninstalled to mend it.
    """

    timeout = 300
    uninstalled = ()

    def setUp(self):
        steps = [environments.ours() if step == "ours" else step for step in self.steps]
        self.interpreter = environments.python(self.python, *[[step] for step in steps])
        if self.uninstalled:
            self.pip("uninstall", "-y", *self.uninstalled)

    def pip(self, *arguments):
        environments.run(self.interpreter, "-m", "pip", *arguments)

    def importing(self, module):
        command = ["-c", "import {0}; print({0}.__name__)".format(module)]
        return getProcessOutputAndValue(self.interpreter, command, environments.PROCESS_ENVIRONMENT)

    @defer.inlineCallbacks
    def test_importSaysWhatHappenedAndHowToMendIt(self):
        for module in ("storjrpcudp", "storjrpcudp.protocol"):
            _, errors, code = yield self.importing(module)
            self.assertEqual(code, 1)
            sentence = errors.decode("ascii").splitlines()[-1]
            self.assertTrue(sentence.startswith("ImportError: the import package rpcudp is not the one"), sentence)
        # As it says.
        if self.others:
            self.pip("uninstall", "-y", *self.others)
        self.pip("install", "-q", "--no-deps", "--force-reinstall", environments.ours())
        for module in ("storjrpcudp.protocol", "rpcudp.protocol"):
            output, errors, _ = yield self.importing(module)
            self.assertEqual((output.decode("ascii").strip(), errors), (module, b""))


class KademliaBesidesOursTests(MixedTests, TestCase):
    python = "3.11"
    steps = ["ours", "kademlia==2.2.3"]
    others = ["kademlia", "rpcudp"]


class PublishedUnderOursTests(MixedTests, TestCase):
    python = "3.11"
    steps = ["rpcudp==2.1", "ours"]
    uninstalled = ["rpcudp"]
    others = []


class PublishedOverOursTests(MixedTests, TestCase):
    python = "2.7"
    steps = ["ours", "rpcudp==2.1"]
    others = ["rpcudp"]
