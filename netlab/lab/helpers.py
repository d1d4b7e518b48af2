"""Processes that the supervisor forks of itself: the zygote, the relay, the recorder.

Each has a socket pair with the supervisor, over which both write JSON lines. Its end is seen by SIGCHLD.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from netlab.errors import LabError, NetlabError
from netlab.lab import sandbox
from netlab.lab.control import Message, encode
from netlab.lab.loop import Loop
from netlab.lab.talk import Talk


@dataclass
class Helper(Talk):
    """One such process. `status` is empty while it lives."""

    pid: int
    status: str = ""

    @property
    def alive(self) -> bool:
        return not self.status

    def wait(self, loop: Loop, deadline: float) -> Message:
        """Wait for the next line. Not from a callback. Raises LabError where there is none in time."""
        came: list[Message] = []
        self.expect(came.append)
        loop.until(lambda: bool(came), deadline)
        answer = came[0] if came else {"error": "it did not answer"}
        if "error" in answer:
            raise LabError(f"the {self.name} process failed: {describe(answer['error'])}")
        return answer


def kill(helper: Helper) -> None:
    """SIGKILL for one that is alive; its end is seen as that of any child."""
    os.kill(helper.pid, signal.SIGKILL)  # not reaped yet, so the PID is still its own
    helper.channel.close()


def describe(error: object) -> str:
    """A helper's "error": text, or a document with its cause."""
    return str(error["cause"] if isinstance(error, dict) else error)


def fork(
    name: str,
    loop: Loop,
    body: Callable[[socket.socket], object],
    keep: Iterable[int] = (),
    kind: int = socket.SOCK_STREAM,
) -> Helper:
    """Fork a helper that runs `body` with its end of the socket pair and the descriptors in `keep`."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        theirs.close()
        return Helper(name, ours, pid)
    status = 1
    try:
        gc.freeze()  # no object of the supervisor may be collected here: its descriptor may be another's
        gc.enable()  # off while the lab is being made, and not to be off in roles
        loop.forget_in_child()
        sandbox.name_process(f"netlab-{name}")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sandbox.close_all_except((0, 1, 2, theirs.fileno(), *keep))
        body(theirs)
        status = 0
    except NetlabError as error:
        print(f"{name}: {error.cause}", file=sys.stderr)
        if kind == socket.SOCK_STREAM:
            theirs.sendall(encode({"error": error.cause}))
    except BaseException:  # noqa: BLE001 - the process ends here; the supervisor's log has the reason
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
