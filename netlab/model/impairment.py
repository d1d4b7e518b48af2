"""What a link does to frames in one direction, in tc-netem's vocabulary."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """Bursty loss: a good and a bad state, stepped once a frame (tc-netem `loss gemodel`).

    `p`: good to bad; `r`: bad to good; `bad_loss` (tc's 1-h): loss in the bad state; `good_loss`
    (tc's 1-k): loss in the good one. All 0 to 1.
    """

    p: float
    r: float
    bad_loss: float = 1.0
    good_loss: float = 0.0


@dataclass(frozen=True, slots=True)
class FourState:
    """The 4-state Markov chain of tc-netem's `loss state`; probabilities of the transitions, 0 to 1.

    State 1: good reception in a gap; 2: good reception within a burst; 3: loss within a burst; 4: a
    single loss in a gap.
    """

    p13: float
    p31: float = 1.0
    p32: float = 0.0
    p23: float = 1.0
    p14: float = 0.0


@dataclass(frozen=True, slots=True)
class Slot:
    """Frames gather and leave in bursts: a slot opens after a time drawn evenly from min to max.

    It carries at most `packets` and `bytes` (0: no bound).
    """

    min_ns: int
    max_ns: int
    packets: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Impairment:
    """One direction of a link. The zero value is a perfect wire.

    A frame is queued (at most `limit_packets`, the rest dropped at the tail), lost (a lost frame takes
    no time on the line), serialised at `rate_bps` (frame length as on the interface, without preamble,
    FCS and gap; 0: unlimited), then delayed by `delay_ns` plus jitter. Jitter may reorder frames, as
    in netem.

    `distribution` names the jitter's table (`netlab.model.distributions`); `table` holds it where it is
    the user's own file: offsets in 1/8192 of `jitter_ns`. Without either: uniform within ± `jitter_ns`.
    `loss` is random loss; `loss_model` takes its place. Probabilities and correlations are 0 to 1.
    `reorder`: that share of frames (every `reorder_gap`-th, from the second gap on) leaves at once,
    ahead of those that are delayed. `rate_overhead_bytes` is added to each frame's length (it may be
    negative), then the frame is cut into cells of `cell_bytes` with `cell_overhead_bytes` each.
    `ecn`: mark Congestion Experienced instead of dropping, where the packet allows it (RFC 3168).
    `seed` makes the random choices repeatable; None: another one each time (or the lab's).
    """

    delay_ns: int = 0
    jitter_ns: int = 0
    loss: float = 0.0
    rate_bps: int = 0
    limit_packets: int = 1000
    distribution: str = "uniform"
    table: tuple[int, ...] = ()
    delay_correlation: float = 0.0
    loss_correlation: float = 0.0
    loss_model: GilbertElliott | FourState | None = None
    duplicate: float = 0.0
    duplicate_correlation: float = 0.0
    corrupt: float = 0.0
    corrupt_correlation: float = 0.0
    reorder: float = 0.0
    reorder_correlation: float = 0.0
    reorder_gap: int = 0
    rate_overhead_bytes: int = 0
    cell_bytes: int = 0
    cell_overhead_bytes: int = 0
    slot: Slot | None = None
    ecn: bool = False
    seed: int | None = None

    @property
    def perfect(self) -> bool:
        """True where a plain veth does the same."""
        touched = self.delay_ns or self.jitter_ns or self.rate_bps or self.slot
        return not (touched or self.loss or self.loss_model or self.duplicate or self.corrupt)

    def document(self) -> dict[str, Any]:
        """As JSON holds it: field names and plain values. `from_document` is its inverse."""
        return asdict(self)


def from_document(document: dict[str, Any]) -> Impairment:
    """The impairment of a `document()`. Raises TypeError where there is an unknown field."""
    fields = dict(document)
    fields["table"] = tuple(fields.get("table", ()))
    if model := fields.get("loss_model"):
        fields["loss_model"] = FourState(**model) if "p13" in model else GilbertElliott(**model)
    if slot := fields.get("slot"):
        fields["slot"] = Slot(**slot)
    return Impairment(**fields)
