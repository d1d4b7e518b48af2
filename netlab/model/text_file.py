"""The text of a file that the user named."""

from __future__ import annotations

from pathlib import Path

from netlab.errors import InputError, Problem, TopologyError


def read_text(path: Path, what: str) -> str:
    """The UTF-8 text of `path`, which should be `what` ("a topology file").

    Raises InputError where it can't be read, TopologyError with the place of a byte that is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", f"give the path of {what}") from error
    except ValueError as error:  # a null byte in the name
        raise InputError(f"{str(path)!r}: {error}", f"give the path of {what}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # positions are those of what follows a byte order mark
        data = error.object
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        message = f"byte {data[error.start]:#04x} is not UTF-8"
        raise TopologyError((Problem(str(path), line, column, message, f"this should be {what}"),)) from error
