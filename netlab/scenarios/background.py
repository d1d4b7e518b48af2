"""What a stimulus runs beside itself: a role in a node, on a thread that hears what it says."""

from __future__ import annotations

import threading

from netlab.errors import LabError
from netlab.lab.client import LabClient
from netlab.model.event import Event
from netlab.model.roles import RoleSpec

READY_S = 20.0
_END_S = 20.0


class Background:
    """A one-shot role, until it ends by itself or is told to. `events`: what it has said until now."""

    def __init__(self, lab: LabClient, node: str, spec: RoleSpec) -> None:
        self.events: list[Event] = []
        self._lab = lab
        self._node = node
        self._spec = spec
        self._heard = threading.Condition()
        self._stop = threading.Event()
        self._ended = False
        self._failure: BaseException | None = None
        # A daemon: a user who interrupts doesn't wait for what is under way.
        self._thread = threading.Thread(target=self._run, name=f"{spec.kind} at {node}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait_for(self, event: str, within_s: float = READY_S) -> None:
        """Returns when the role has said this. Raises what ended it before; LabError where it never does."""
        with self._heard:
            self._heard.wait_for(lambda: self._ended or self._has(event), within_s)
        if self._failure is not None:
            raise self._failure
        if not self._has(event):
            cause = f"{self._node}: the {self._spec.kind} has not said {event!r} within {within_s:.0f} s"
            raise LabError(cause, f"see: netlab logs {self._node}")

    def wait(self, within_s: float) -> None:
        """Returns when the role has ended, however, or after `within_s`."""
        self._thread.join(within_s)

    def join(self, within_s: float) -> None:
        """Returns when the role has ended. Raises what it failed with; LabError where it doesn't end."""
        self._thread.join(within_s)
        if self._thread.is_alive():
            self.abandon()
            raise LabError(f"{self._node}: the {self._spec.kind} did not end within {within_s:.0f} s")
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Let it drain and end. Raises what it failed with."""
        self._stop.set()
        self.join(_END_S)

    def abandon(self) -> None:
        """End it, however it ends: something else has failed already, and is what the user must hear of."""
        self._stop.set()
        self._thread.join(_END_S)

    def _has(self, event: str) -> bool:
        return any(one.event == event for one in self.events)

    def _run(self) -> None:
        try:
            for event in self._lab.serve(self._node, self._spec, self._stop):
                with self._heard:
                    self.events.append(event)
                    self._heard.notify_all()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._failure = error
        finally:
            with self._heard:
                self._ended = True
                self._heard.notify_all()
