"""
What becomes of datagrams on a simulated network: partitions come first, then rules, then chance.
"""

import sys
from collections import namedtuple
from numbers import Real

from rpcudp._ports import canonical

_Figures = namedtuple("_Figures", ["latency", "jitter", "loss", "duplication"])


class Faults(object):
    """
    Decides on each datagram.

    @ivar _random: the generator of all chance.

    @ivar _figures: what L{rpcudp.testing.SimulatedNetwork} was given, numbers or functions.

    @ivar _isUniform: whether they are all numbers.

    @ivar _partitions: those that hold: of each, by address, the number of the group that it is in.

    @ivar _rules: each a L{list} of a function alone, so that one that is there twice can be told apart.
    """

    def __init__(self, random, *figures):
        self._random = random
        self._figures = _Figures(*figures)
        for name, value in zip(_Figures._fields, self._figures):
            if not callable(value):
                _check(name, value)
        self._isUniform = not any(map(callable, self._figures))
        self._partitions = []
        self._rules = []

    def partition(self, groups, hosts):
        """
        @param hosts: those that there are, by address.

        @return: a context manager, and what it raises, as L{rpcudp.testing.SimulatedNetwork.partition} says.
        """
        if not groups:
            raise ValueError("a partition needs a group of hosts, and there is none")
        members = {}
        for number, group in enumerate(groups):
            if isinstance(group, (bytes, type(u""))):
                raise TypeError("a group is {!r}, and not a list of addresses".format(group))
            for member in group:
                address = canonical(getattr(member, "address", member))[1]
                if address not in hosts:
                    raise ValueError("no host has the address {}".format(address))
                if members.setdefault(address, number) != number:
                    raise ValueError("{} is in two groups".format(address))
        return _Partition(self._partitions, members)

    def rule(self, function):
        """
        @return: a function, and what it raises, as L{rpcudp.testing.SimulatedNetwork.rule} says.
        """
        if not callable(function):
            raise TypeError("{!r} is not a function".format(function))
        rule = [function]
        self._rules.insert(0, rule)

        def remove():
            self._rules[:] = [other for other in self._rules if other is not rule]

        return remove

    def isCut(self, source, destination):
        """
        @return: whether a partition is between two IP addresses.
        """
        for members in self._partitions:
            if members.get(source) != members.get(destination):
                return True
        return False

    def decide(self, datagram):
        """
        @type datagram: L{rpcudp.testing.Datagram}

        @return: what happens to it, by its name in L{rpcudp.testing.Counts}, or C{None} where nothing does; and the
            seconds after which each copy arrives.
        """
        source, destination = datagram.source[0], datagram.destination[0]
        if self.isCut(source, destination):
            return "partitioned", ()
        # A rule may take itself away, or add another.
        for [function] in list(self._rules):
            delays = function(datagram)
            if delays is not None:
                return "ruled", _checkDelays(function, delays)
        figures = self._figures if self._isUniform else self._figuresBetween(source, destination)
        latency, jitter, loss, duplication = figures
        chance = self._random.random
        if loss and chance() < loss:
            return "lost", ()
        copies = 2 if duplication and chance() < duplication else 1
        return None, [latency + chance() * jitter if jitter else latency for _ in range(copies)]

    def _figuresBetween(self, source, destination):
        return [
            _check(name, value(source, destination)) if callable(value) else value
            for name, value in zip(_Figures._fields, self._figures)
        ]


class _Partition(object):
    """
    @ivar _partitions: those of the network that hold.
    @ivar _members: by address, the number of the group that it is in.
    """

    def __init__(self, partitions, members):
        self._partitions = partitions
        self._members = members

    def __enter__(self):
        self._partitions.append(self._members)

    def __exit__(self, *exception):
        # The same one may hold twice.
        index = [id(members) for members in self._partitions].index(id(self._members))
        del self._partitions[index]


def _checkDelays(function, delays):
    """
    @return: what a rule has returned, as a L{list}.
    """
    try:
        delays = list(delays)
    except TypeError:
        raise TypeError("rule {!r} returned {!r}, and neither None nor a list of delays".format(function, delays))
    for delay in delays:
        checkSeconds("a delay of rule {!r}".format(function), delay)
    return delays


def checkSeconds(name, value):
    """
    @raise TypeError: if C{value} is no number.
    @raise ValueError: if it is negative or not finite.
    """
    if not 0 <= _number(name, value) <= sys.float_info.max:
        raise ValueError("{} is {!r} seconds, and negative or not finite".format(name, value))


def _number(name, value):
    # That a float is one need not be looked up.
    if not isinstance(value, (float, Real)):
        raise TypeError("{} is {!r}, and not a number".format(name, value))
    return value


def _check(name, value):
    """
    @param name: of one of L{_Figures}.

    @return: C{value}.
    """
    if name in ("latency", "jitter"):
        checkSeconds(name, value)
    elif not 0 <= _number(name, value) <= 1:
        raise ValueError("{} is {!r}, and a probability is from 0 to 1".format(name, value))
    return value
