"""The exceptions, named for whose fault it is; each carries cause, remedy and exit code.

A refuted claim is a verdict, not an exception. Whatever is not one of these classes is a bug of
netlab's own: the command line saves the traceback and exits with 70.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar


class NetlabError(Exception):
    """A failure that a user can read: what happened (`str`), and what to do (`remedy`)."""

    exit_code: ClassVar[int] = 1

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy


class InputError(NetlabError):
    """Something that the user gave is wrong: a file, an argument."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file. `line` and `column` count from 1; 0 means that no place is known."""

    file: str
    line: int
    column: int
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}" + (f"; {self.suggestion}" if self.suggestion else "")


class TopologyError(InputError):
    """A topology with all its problems, in the order of their places."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class CaptureError(InputError):
    """A capture file or run directory that can't be read: which, at which byte, and why."""


class HostError(NetlabError):
    """The machine lacks something: root, a program, a kernel feature."""

    exit_code = 3


class LabError(NetlabError):
    """The lab could not do what was asked."""


class KernelError(LabError):
    """The kernel refused an operation: which, its errno, and what it said (extended ack)."""

    def __init__(self, operation: str, errno: int, extack: str = "", remedy: str = "") -> None:
        said = f": {extack}" if extack else ""
        super().__init__(f"{operation}: {os.strerror(errno)} (errno {errno}){said}", remedy)
        self.operation = operation
        self.errno = errno
        self.extack = extack


class RoleError(LabError):
    """A role's process failed: where, how it ended, and the last lines that it wrote."""

    def __init__(self, node: str, role: str, status: str, last_lines: tuple[str, ...] = ()) -> None:
        tail = "".join(f"\n    {line}" for line in last_lines)
        super().__init__(f"{node}: role {role} {status}{tail}", f"see: netlab logs {node}")
        self.node = node
        self.role = role
        self.status = status
        self.last_lines = last_lines


class LocalProtocolError(NetlabError):
    """Our side tried to break a protocol: a bug of ours."""

    exit_code = 70


class RemoteProtocolError(NetlabError):
    """The peer broke a protocol; `status` is the HTTP status to answer with, 0 if none fits."""

    def __init__(self, cause: str, status: int = 0) -> None:
        super().__init__(cause)
        self.status = status
