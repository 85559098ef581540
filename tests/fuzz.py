"""
The property of L{tests.properties}, for as long as one likes: C{python -m tests.fuzz [COUNT [SEED]]}.
"""

from __future__ import print_function

import random
import sys
import time

from hypothesis import HealthCheck, seed, settings

from tests.hostile import Judge, RPCUDPNode, StorjNode
from tests.properties import batches, judgeAll


def main(count, start):
    judges = [Judge(RPCUDPNode), Judge(StorjNode)]
    began = time.time()
    number = start
    while sum(judge.judged for judge in judges) < count:
        run = settings(max_examples=500, database=None, deadline=None, suppress_health_check=list(HealthCheck))(
            seed(number)(batches(lambda batch: judgeAll(judges, batch)))
        )
        print("seed {}: ".format(number), end="")
        sys.stdout.flush()
        run()
        print("{} datagrams".format(sum(judge.judged for judge in judges)))
        number += 1
    for judge in judges:
        print(
            "{}: {} datagrams, {} answered, {} calls ended".format(
                type(judge.node).__name__, judge.judged, judge.answered, judge.fired
            )
        )
    print("{:.0f} seconds".format(time.time() - began))


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    main(*(arguments + [100000, random.randrange(10 ** 9)][len(arguments):]))
