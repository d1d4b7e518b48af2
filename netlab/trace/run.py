"""run.json: what ran, where, and how whole its capture is. Written by a scenario, read by `Trace.load`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from netlab.errors import CaptureError
from netlab.model.impairment import Impairment


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RunNode(_Part):
    """`kind` and `roles` as in the topology; `addresses` without prefix lengths."""

    kind: str = "host"
    location: str = ""
    roles: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


class RunDrops(_Part):
    """Frames that a link's own counters say it did not deliver in the run. `lost`: at random; `queue`: they
    found it full. Of a netem link, which doesn't tell these apart, both are in `lost`, `queue` is None."""

    lost: int = 0
    queue: int | None = 0

    @property
    def count(self) -> int:
        return self.lost + (self.queue or 0)


class RunLink(_Part):
    """`ends` are `node:interface`; `up` impairs what the first end sends, `down` what the second sends.
    `dropped` of both; None where the run doesn't say it."""

    ends: tuple[str, str]
    medium: str = ""
    mtu: int = 1500
    up: Impairment = Impairment()
    down: Impairment = Impairment()
    dropped: tuple[RunDrops, RunDrops] | None = None

    def dropped_from(self, end: str) -> RunDrops | None:
        """Of what `end` sent."""
        return None if self.dropped is None else self.dropped[self.ends[0] != end]

    def sent_by(self, end: str) -> Impairment:
        """What it does to frames that `end` sends."""
        return self.up if self.ends[0] == end else self.down

    def other(self, end: str) -> str:
        return self.ends[1] if self.ends[0] == end else self.ends[0]


class RunCapture(_Part):
    """`packets` and `dropped` (by the kernel, for want of buffer) of all interfaces together."""

    file: str = "trace.pcapng"
    packets: int = 0
    dropped: int = 0


class RunRelay(_Part):
    """What the user-space relay did during the run: frames that it carried, that it sent on more than 1 ms
    late, and that it could not carry (docs/links.md)."""

    frames: int = 0
    late: int = 0
    unable: int = 0


class RunPhase(_Part):
    """A part of the scenario's stimulus with settings of its own. Times in CLOCK_REALTIME ns.

    `settings`: what was different in it, as words ("loss": "1%", "http": "2").
    """

    name: str
    started_ns: int
    ended_ns: int
    settings: dict[str, str] = {}


class Run(_Part):
    """`started_ns` and `ended_ns` in CLOCK_REALTIME; `backend`: netem, wire, mixed or none.

    `relay` is None where no link was relayed. `settings`: what the user chose (http, tls, repeat).
    """

    scenario: str
    lab: str
    topology: str
    started_ns: int
    ended_ns: int
    backend: str = ""
    nodes: dict[str, RunNode]
    links: tuple[RunLink, ...] = ()
    settings: dict[str, str] = {}
    phases: tuple[RunPhase, ...] = ()
    capture: RunCapture = RunCapture()
    relay: RunRelay | None = None

    @property
    def flaws(self) -> tuple[str, ...]:
        """Why nothing may be concluded from the run: what was lost that the network would not have lost."""
        found = []
        if self.capture.dropped:
            found.append(f"the capture lost {self.capture.dropped} packets")
        if self.relay is not None and self.relay.unable:
            found.append(f"the relay could not carry {self.relay.unable} frames")
        return tuple(found)

    @property
    def undelivered(self) -> tuple[tuple[str, str, RunDrops], ...]:
        """What links did not deliver, by their counters: who sent it, who should have got it, how much."""
        return tuple(
            (end, link.other(end), drops)
            for link in self.links
            for end in link.ends
            for drops in [link.dropped_from(end)]
            if drops is not None and drops.count
        )

    @classmethod
    def from_json(cls, text: str) -> Run:
        """Raises CaptureError, which says what is wrong with the document."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the document"
            raise CaptureError(f"run.json: {place}: {first['msg']}", "run the scenario again") from error

    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"

    def node_of(self, address: str) -> str:
        """The node that owns `address`, or the address itself where none does."""
        return next((name for name, node in self.nodes.items() if address in node.addresses), address)

    def link_at(self, end: str) -> RunLink | None:
        """The link that ends at `node:interface`."""
        return next((link for link in self.links if end in link.ends), None)
