"""A user's functions at the edge: found, called with a bound on their time, and never trusted not to fail."""

from __future__ import annotations

import importlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from netlab.errors import LabError
from netlab.model.roles.cdn import EdgeFunction
from netlab.net.context import RoleContext
from netlab.policy.edge_function import (
    EdgeAnswer,
    EdgeRequest,
    EdgeResponse,
    Fields,
    changed_request,
    changed_response,
    own_response,
)
from netlab.proto.http import RequestHead, ResponseHead


class _OutOfTimeError(BaseException):
    """Not an Exception, so that a function's own `except Exception` lets it through."""


class FunctionFailedError(Exception):
    """A function failed whose failure is to be an answer of 500."""


class EdgeFunctions:
    """Those of one edge, in order. Raises LabError where one can't be found."""

    def __init__(self, ctx: RoleContext, specs: tuple[EdgeFunction, ...]) -> None:
        self._ctx = ctx
        found = [(spec, _function(spec)) for spec in specs]
        self._requests = [one for one in found if one[0].on == "request"]
        self._responses = [one for one in found if one[0].on == "response"]
        self._running = False
        if found:
            signal.signal(signal.SIGALRM, self._alarm)

    def __bool__(self) -> bool:
        return bool(self._requests or self._responses)

    def request(self, head: RequestHead, client: str) -> RequestHead | tuple[ResponseHead, bytes]:
        """What the request has become, or the answer to it. Raises FunctionFailedError."""
        for spec, function in self._requests:
            asked = EdgeRequest.of(head, client)
            try:
                returned = self._call(spec, function, asked)
                if isinstance(returned, EdgeAnswer):
                    return own_response(returned)
                _check_none(returned)
                head = changed_request(head, asked)
            except BaseException as error:  # noqa: BLE001 - whatever a user's function may raise
                self._failed(spec, error)
        return head

    def response(self, request: RequestHead, client: str, head: ResponseHead) -> ResponseHead:
        """What the response's head has become. Raises FunctionFailedError."""
        for spec, function in self._responses:
            asked, given = EdgeRequest.of(request, client), EdgeResponse(head.status, Fields(head.headers))
            try:
                _check_none(self._call(spec, function, asked, given))
                head = changed_response(head, given)
            except BaseException as error:  # noqa: BLE001 - whatever a user's function may raise
                self._failed(spec, error)
        return head

    def _call(self, spec: EdgeFunction, function: Callable[..., object], *arguments: object) -> object:
        with self._timed(spec.limit_ns / 1e9):
            return function(*arguments)

    @contextmanager
    def _timed(self, limit_s: float) -> Iterator[None]:
        self._running = True
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        try:
            yield
        finally:
            self._running = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _alarm(self, number: int, frame: object) -> None:
        del number, frame
        if self._running:
            raise _OutOfTimeError

    def _failed(self, spec: EdgeFunction, error: BaseException) -> None:
        """Raises FunctionFailedError, unless the spec says that the function is then left out."""
        late = isinstance(error, _OutOfTimeError)
        cause = f"not done in {spec.limit_ns / 1e6:g} ms" if late else f"{type(error).__name__}: {error}"
        self._ctx.emit("function-failed", call=spec.call, cause=cause, on_error=spec.on_error)
        if spec.on_error == "refuse":
            raise FunctionFailedError(spec.call) from None


def _check_none(returned: object) -> None:
    if returned is not None:
        raise TypeError(f"it returned {type(returned).__name__}, not None or request.answer(…)")


def _function(spec: EdgeFunction) -> Callable[..., object]:
    where, _, name = spec.call.partition(":")
    found: object = None
    try:
        if spec.source:
            space: dict[str, Any] = {"__name__": "edge_function", "__file__": where}
            exec(compile(spec.source, where, "exec"), space)  # noqa: S102 - what the user's topology names
            found = space.get(name)
        else:
            found = getattr(importlib.import_module(where), name, None)
    except Exception as error:  # whatever a user's file may raise
        raise LabError(
            f"edge function {spec.call}: {type(error).__name__}: {error}", f"mend {where}"
        ) from error
    if not callable(found):
        raise LabError(f"edge function {spec.call}: {where} has no function {name}", "name one that it has")
    function: Callable[..., object] = found
    return function
