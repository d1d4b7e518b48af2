"""How a verb ends badly: errors become text on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator

from netlab.errors import NetlabError, TopologyError

BUG = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # what a shell says of SIGINT
BROKEN_PIPE = 141  # what a shell says of SIGPIPE


def guarded(run: Callable[[], object]) -> int:
    """Call `run` and return the exit code; print errors, but never a traceback."""
    try:
        code = _code_of(run)
        sys.stdout.flush()
    except BrokenPipeError:
        return _quiet_pipe()
    except KeyboardInterrupt:
        return _interrupted()
    except NetlabError as error:
        return _report((error,))
    except BaseExceptionGroup as group:
        return _report_group(group)
    except Exception as error:  # noqa: BLE001 - the last line of defence; it is saved and shown
        # A library may wrap whatever its callbacks raise: pydantic does, also Ctrl-C.
        return _interrupted() if isinstance(error.__cause__, KeyboardInterrupt) else _report_bug(error)
    return code


def _code_of(run: Callable[[], object]) -> int:
    try:
        run()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _report(errors: tuple[NetlabError, ...]) -> int:
    for error in errors:
        if isinstance(error, TopologyError):
            _say_problems(error)
        else:
            _say(f"netlab: {error.cause}")
        if error.remedy:
            _say(f"try: {error.remedy}")
    return max(error.exit_code for error in errors)


def _say_problems(error: TopologyError) -> None:
    for problem in error.problems:
        _say(str(problem))
    count = len(error.problems)
    _say(f"netlab: {count} problem{'s' if count != 1 else ''} in {error.problems[0].file}")


def _report_group(group: BaseExceptionGroup[BaseException]) -> int:
    leaves = tuple(_leaves(group))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return _interrupted()
    known = tuple(leaf for leaf in leaves if isinstance(leaf, NetlabError))
    return _report(known) if len(known) == len(leaves) else _report_bug(group)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _report_bug(error: BaseException) -> int:
    text = "".join(traceback.format_exception(error))
    with tempfile.NamedTemporaryFile(
        "w", prefix="netlab-traceback-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    _say(f"netlab: a bug of netlab's own: {type(error).__name__}: {error}")
    _say(f"try: report it with the traceback saved in {file.name}")
    return BUG


def _interrupted() -> int:
    _say("netlab: interrupted")
    return INTERRUPTED


def _quiet_pipe() -> int:
    """Nobody reads on. Point stdout elsewhere, or the interpreter complains when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE


def _say(line: str) -> None:
    print(line, file=sys.stderr)
