"""
Datagrams that almost make sense.
"""

import json
import os
import random

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "vectors.json")


def realDatagrams():
    """
    @return: what published peers put on the wire.
    @rtype: L{list} of L{bytearray}
    """
    with open(VECTORS) as vectors:
        return [bytearray.fromhex(vector["datagram"]) for vector in json.load(vectors)]


def mutant(real):
    """
    @return: one of the datagrams C{real}, with up to three bytes changed.
    @rtype: L{bytes}
    """
    datagram = bytearray(random.choice(real))
    for _ in range(random.randrange(1, 4)):
        datagram[random.randrange(len(datagram))] = random.randrange(256)
    return bytes(datagram)
