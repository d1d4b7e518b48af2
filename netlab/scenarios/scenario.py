"""What a scenario is: a stimulus in a lab, and a judge that reads what was captured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from netlab.errors import InputError
from netlab.model.roles import HttpVersion, Quic, TlsClient
from netlab.model.suggest import nearest
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording

if TYPE_CHECKING:
    from netlab.model.topology import Topology
    from netlab.scenarios.bench import Bench

HttpChoice = Literal["1.1", "2", "3"]
TlsChoice = Literal["1.2", "1.3", "resumed", "0rtt"]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What the user chose. `lab`: its name, "" for the topology's. `out`: None for a new directory below
    ./runs. `http` and `tls`: only these; empty: the scenario's own. `repeat` 0: the scenario's own."""

    topology: Path
    lab: str = ""
    out: Path | None = None
    keep: bool = False
    http: tuple[HttpVersion, ...] = ()
    tls: tuple[TlsChoice, ...] = ()
    repeat: int = 0

    def settings(self) -> dict[str, str]:
        """What was chosen, as run.json has it."""
        chosen = {"http": " ".join(self.http), "tls": " ".join(self.tls), "repeat": str(self.repeat or "")}
        return {name: text for name, text in chosen.items() if text}


@dataclass(frozen=True, slots=True)
class Scenario:
    """`http` and `tls`: the choices that it has, none where the option means nothing to it; `single`: the
    options of which it takes one choice only. `interfaces`: those that are captured, by topology; None: all.
    """

    name: str
    summary: str
    stimulus: Callable[[Bench], None]
    judge: Callable[[Recording], Findings]
    http: tuple[HttpVersion, ...] = ()
    tls: tuple[TlsChoice, ...] = ()
    single: tuple[Literal["http", "tls"], ...] = ()
    repeats: int = 1
    interfaces: Callable[[Topology], Sequence[str]] | None = None
    cold: bool = False  # caches of resolvers and edges are emptied first
    topology: str = "internet"  # the shipped one that it is made for
    needs: Mapping[str, str] = field(default_factory=dict)  # node ─► why; a topology without it is refused
    check_more: Callable[[Topology], object] | None = None  # raises InputError

    def check(self, options: Options) -> None:
        """Raises InputError where an option was given that this scenario has no use for."""
        _check(self.name, "--http", options.http, self.http)
        _check(self.name, "--tls", options.tls, self.tls)
        for option, chosen in (("http", options.http), ("tls", options.tls)):
            if option in self.single and len(chosen) > 1:
                cause = f"scenario {self.name} takes one --{option}, not {', '.join(chosen)}"
                raise InputError(cause, "run it once for each")
        _check_pair(options.http or self.http, options.tls)
        if options.repeat < 0:
            raise InputError(f"--repeat {options.repeat} is less than once")

    def check_topology(self, topology: Topology) -> None:
        """Raises InputError where the topology lacks a node that the scenario works with."""
        for node, why in self.needs.items():
            if node not in topology.nodes:
                remedy = f"{nearest(node, topology.nodes, 'nodes')}; the topology `{self.topology}` has it"
                raise InputError(f"scenario {self.name} needs a node {node}: {why}", remedy)
        if self.check_more is not None:
            self.check_more(topology)


def _check(name: str, option: str, chosen: Sequence[str], known: Sequence[str]) -> None:
    for one in chosen:
        if one not in known:
            can = f"it takes {', '.join(known)}" if known else f"leave out {option}"
            raise InputError(f"scenario {name} has no {option} {one}", can)


def _check_pair(http: Sequence[HttpVersion], tls: Sequence[TlsChoice]) -> None:
    """Raises InputError where none of the pairs exists."""
    if set(http) == {"3"} and set(tls) == {"1.2"}:
        raise InputError("HTTP/3 has no TLS 1.2 (RFC 9001 section 4.2)", "give --tls 1.3, or --http 1.1,2")
    if set(tls) == {"0rtt"} and "3" not in http:
        raise InputError("0-RTT is of HTTP/3 here", "give --http 3 with it")


def choice(text: str, option: str, known: Sequence[str]) -> tuple[str, ...]:
    """The parts of "1.1,2" as the user typed them. Raises InputError for one that isn't known."""
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    for part in parts:
        if part not in known:
            raise InputError(
                f"{option} {part}: there is no such choice", f"one or more of {', '.join(known)}"
            )
    return parts


HTTP_CHOICES: tuple[str, ...] = get_args(HttpChoice)
TLS_CHOICES: tuple[str, ...] = get_args(TlsChoice)

# How a client asks for each choice. A session that is resumed must have been got before.
TLS_WAYS: dict[TlsChoice, TlsClient] = {
    "1.2": TlsClient(versions=("1.2",), resume=False),
    "1.3": TlsClient(versions=("1.3",), resume=False),
    "resumed": TlsClient(versions=("1.3",)),
    "0rtt": TlsClient(versions=("1.3",), early_data=True),
}


def recorded(tls: TlsClient) -> TlsClient:
    """The same, and QUIC's connections go into the run as qlog files, which qvis opens. It costs speed, so
    scenarios that measure speed go without."""
    return tls.model_copy(update={"quic": Quic(qlog=True)})
