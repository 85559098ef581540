"""
The property of L{tests.lossy}, with as many programs as one likes, C{python -m tests.faults [COUNT]}, or for as many
seconds, C{python -m tests.faults 60s}.

A program that breaks a promise is made as small as it can be and printed, as plain data, and the status is 1.
C{python -m tests.faults --replay PROGRAM} runs it again.
"""

from __future__ import print_function

import argparse
import ast
import random
import signal
import sys
import time
import traceback
from collections import Counter

from hypothesis import HealthCheck, given, seed, settings
from twisted.logger import globalLogBeginner

from tests.lossy import FAULTS, simulate
from tests.properties import programs

# Seconds of processor time, of which a program takes some thousandths.
_HUNG = 1

# Programs of one seed.
_BATCH = 500


class Hung(BaseException):
    """
    A program does not end.  It is no Exception, as those are logged where they are raised, and all goes on.
    """


def interrupt(*signal):
    raise Hung()


def guarded(program):
    """
    @return: what L{simulate} does.

    @raise AssertionError: if L{simulate} does, or has no end.
    """
    # Windows has no such timer.
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGVTALRM, interrupt)
        # Again and again, as Deferreds catch it.
        signal.setitimer(signal.ITIMER_VIRTUAL, _HUNG, _HUNG)
    try:
        return simulate(**program)
    except Hung:
        raise AssertionError("no end in {} s of processor time".format(_HUNG))
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)


class Run(object):
    """
    @ivar simulated: how many programs were run.
    @ivar happened: how often what did in them.
    @ivar failed: the last one that has broken a promise: after Hypothesis is done with it, the smallest.
    """

    def __init__(self):
        self.simulated = 0
        self.happened = Counter()
        self.failed = None

    def check(self, program):
        self.simulated += 1
        try:
            self.happened.update(guarded(program))
        except Exception:
            self.failed = program
            raise

    def go(self, count, seconds, start):
        """
        @return: whether all promises were kept.
        """
        began = time.time()
        number = start
        while self.simulated < count and time.time() - began < seconds:
            most = min(_BATCH, count - self.simulated)
            run = settings(
                max_examples=most,
                database=None,
                deadline=None,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            )(seed(number)(given(programs)(lambda program: self.check(program))))
            print("seed {}: ".format(number), end="")
            sys.stdout.flush()
            try:
                run()
            except Exception:
                print("a promise is broken")
                traceback.print_exc()
                print("\nsimulate(**{!r})\n".format(self.failed))
                print('{} -m tests.faults --replay "{!r}"'.format(sys.executable, self.failed))
                return False
            print("{} programs".format(self.simulated))
            number += 1
        for name, times in sorted(self.happened.items()):
            print("{}: {}".format(name, times))
        print("{:.0f} seconds".format(time.time() - began))
        # A few programs need not have all of it.
        missing = [fault for fault in FAULTS if not self.happened[fault]] if self.simulated >= _BATCH else []
        if missing:
            print("what never happened: {}".format(", ".join(missing)))
        return not missing


def replay(program):
    """
    @return: whether all promises were kept.
    """
    try:
        happened = guarded(program)
    except Exception:
        traceback.print_exc()
        return False
    for name, times in sorted(happened.items()):
        print("{}: {}".format(name, times))
    return True


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("length", nargs="?", default="10000", help="how many programs, or, as in 60s, seconds")
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 9), help="the first one")
    parser.add_argument("--replay", type=ast.literal_eval, help="a program that was printed", metavar="PROGRAM")
    options = parser.parse_args()
    # Or Twisted would print each failure of a handler, all of them on purpose.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    if options.replay is not None:
        kept = replay(options.replay)
    elif options.length.endswith("s"):
        kept = Run().go(float("inf"), float(options.length[:-1]), options.seed)
    else:
        kept = Run().go(int(options.length), float("inf"), options.seed)
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
