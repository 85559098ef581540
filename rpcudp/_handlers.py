"""
Which method of a protocol a request is for, and whose mistake it is when the call fails.

Arguments that do not fit a handler are the peer's mistake, and a TypeError inside the handler is ours; Python raises
the same error for both.  What differs is where: arguments that do not fit fail in the frame that makes the call, before
any code of the handler runs.  That frame is L{carryOut}'s or, for a decorated handler, its decorator's; with
C{inlineCallbacks}, for one, it is Twisted's.  (So a TypeError that a decorator raises itself passes for the peer's.)
The question is asked only once a call has failed, so that no answered request pays for it.
"""

import inspect
import sys


class Refused(Exception):
    """
    A request that cannot be carried out, by the peer's own mistake.
    """


def carryOut(protocol, method, sender, arguments):
    """
    Call the handler that C{protocol} has for C{method}.

    @type method: text

    @param sender: the C{(ip, port)} pair of the caller, the handler's first argument.

    @type arguments: L{list}

    @return: what the handler returns.

    @raise Refused: if there is no such handler, or C{arguments} do not fit it.
    @raise BaseException: what the handler raises.
    """
    try:
        handler = getattr(protocol, "rpc_" + method, None)
    except UnicodeEncodeError:
        # Python 2's attributes have ASCII names.
        handler = None
    if not callable(handler):
        raise Refused("no such method")
    try:
        return handler(sender, *arguments)
    except TypeError as error:
        if _isMisfit(handler, sys.exc_info()[2]):
            raise Refused(error)
        raise


def _isMisfit(handler, traceback):
    """
    @param traceback: of a L{TypeError}; its first entry is the frame that called C{handler}.

    @return: whether the error is of a call that did not fit the handler, or what its decorators hand on to it.
    @rtype: L{bool}
    """
    innermost = traceback
    while innermost.tb_next is not None:
        innermost = innermost.tb_next
    return innermost is traceback or innermost.tb_frame.f_code in _decorators(handler)


def _decorators(handler):
    """
    @return: the code of the decorators around C{handler}, where they are functions that keep its name, as
        C{functools.wraps} has them do.  (It leaves C{__wrapped__} behind on Python 3 only, but a closure on both.)
    @rtype: L{list}
    """
    layers = []
    function = getattr(handler, "__func__", handler)
    # A function that calls itself may be in its own closure.
    while function is not None and function not in layers:
        layers.append(function)
        function = _decorated(function)
    return [decorator.__code__ for decorator in layers[:-1]]


def _decorated(function):
    for cell in getattr(function, "__closure__", None) or ():
        try:
            inner = cell.cell_contents
        except ValueError:
            # A variable that has no value yet.
            continue
        if inspect.isfunction(inner) and inner.__name__ == function.__name__:
            return inner
    return None
