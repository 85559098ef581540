"""
Whose mistake a TypeError is: the peer's, when its arguments do not fit the handler, or the handler's own.

Python raises the same error for both.  What differs is where: arguments that do not fit fail in the frame that makes
the call, before any code of the handler runs.  That frame is ours or, for a decorated handler, its decorator's; with
C{inlineCallbacks}, for one, it is Twisted's.  (So a TypeError that a decorator raises itself passes for the peer's.)
The question is asked only once a call has failed, so that no answered request pays for it.
"""

import inspect


def isMisfit(handler, traceback):
    """
    @param handler: a callable that was called, and raised a L{TypeError}.

    @param traceback: of that error; its first entry is the frame that made the call.

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
