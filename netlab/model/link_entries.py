"""The shape of a link in a topology file: the vocabulary of tc-netem, per direction."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from netlab.model import distributions
from netlab.model.check_impairment import MAX_LIMIT
from netlab.model.media import DEFAULT, media
from netlab.model.suggest import nearest
from netlab.model.units import DurationNs, LengthM, Probability, RateBps

Value = TypeVar("Value")

_DIRECTIONS = frozenset(("up", "down"))


class Entry(BaseModel):
    """A mapping of the file: no keys but those of the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Short(Entry):
    """A mapping that may be written as the value of its first key alone."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return value if isinstance(value, dict) else {next(iter(cls.model_fields)): value}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        full = handler.resolve_ref_schema(handler(schema))
        short = _not_null(full["properties"][next(iter(cls.model_fields))])
        return {"anyOf": [short, full], "description": full.pop("description", "")}


class Directed(Entry, Generic[Value]):
    """One value for both directions, or `{up: …, down: …}`; up is from the first end to the second."""

    up: Value | None = None
    down: Value | None = None

    @model_validator(mode="before")
    @classmethod
    def _both(cls, value: object) -> object:
        directed = isinstance(value, dict) and (not cls._of_mappings() or _DIRECTIONS & value.keys())
        return value if directed else {"up": value, "down": value}

    @classmethod
    def _of_mappings(cls) -> bool:
        """True where a value may itself be a mapping."""
        return bool(directed_fields(cls))

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        full = handler.resolve_ref_schema(handler(schema))
        for name, shape in full["properties"].items():
            full["properties"][name] = _not_null(shape)
        return {"anyOf": [full["properties"]["up"], full], "description": full.pop("description", "")}


def _not_null(shape: dict[str, Any]) -> dict[str, Any]:
    return next((one for one in shape.get("anyOf", ()) if one.get("type") != "null"), shape)


def directed_fields(model: type[BaseModel]) -> dict[str, Any]:
    """Key ─► type of the mappings that a directed value may be; nothing where it is no mapping."""
    up: Any = model.model_fields["up"].annotation if issubclass(model, Directed) else None
    for one in getattr(up, "__args__", ()):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return {field.alias or name: field.annotation for name, field in one.model_fields.items()}
    return {}


def _distribution(value: object) -> object:
    if isinstance(value, str) and not distributions.is_file(value) and value not in distributions.NAMES:
        known = nearest(value, distributions.NAMES, "distributions")
        raise ValueError(f"unknown distribution `{value}`; {known} A table's path has a / or an ending")
    return value


class GemodelEntry(Entry):
    """Gilbert-Elliott loss: `p` from the good state to the bad, `r` back (else 1-p), a frame.

    `1-h`: loss in the bad state (else all), `1-k`: loss in the good one (else none).
    """

    p: Probability
    r: Probability | None = None
    bad_loss: Annotated[Probability | None, Field(alias="1-h")] = None
    good_loss: Annotated[Probability | None, Field(alias="1-k")] = None


class StateEntry(Entry):
    """4-state Markov loss by its transitions: 1 good, 2 good within a burst, 3 lost in a burst, 4 lost alone.

    What is left out is as in tc: p31 1-p13, p32 0, p23 100%, p14 0.
    """

    p13: Probability
    p31: Probability | None = None
    p32: Probability | None = None
    p23: Probability | None = None
    p14: Probability | None = None


class LossEntry(Short):
    """Loss: a share such as `0.1%`, or one of `random` (with `correlation`), `gemodel`, `state`."""

    random: Probability | None = None
    correlation: Probability | None = None
    gemodel: GemodelEntry | None = None
    state: StateEntry | None = None

    @model_validator(mode="after")
    def _one(self) -> LossEntry:
        models = [name for name in ("random", "gemodel", "state") if getattr(self, name) is not None]
        if len(models) > 1:
            raise ValueError(f"loss is {' and '.join(models)} at once; choose one")
        if self.correlation is not None and models != ["random"]:
            raise ValueError("a correlation without random loss; say how much is lost: `random`")
        if not models:
            raise ValueError("loss says nothing; write a share such as 0.1%")
        return self


class ShareEntry(Short):
    """A share such as `0.1%`, or with `correlation`: how much of each choice is the one before."""

    share: Probability
    correlation: Probability | None = None


class ReorderEntry(Short):
    """A share of frames that leave at once, ahead of the delayed ones; every `gap`-th frame may."""

    share: Probability
    correlation: Probability | None = None
    gap: Annotated[StrictInt, Field(ge=1, le=2**32 - 1)] | None = None


class SlotEntry(Short):
    """Frames gather, and leave together: a slot opens after `min` to `max`, for so many packets or bytes."""

    min: DurationNs
    max: DurationNs | None = None
    packets: Annotated[StrictInt, Field(ge=1, le=2**31 - 1)] | None = None
    bytes: Annotated[StrictInt, Field(ge=1, le=2**31 - 1)] | None = None


class Durations(Directed[DurationNs]):
    """A duration such as `20ms` for both directions, or `{up: …, down: …}`."""


Distribution = Annotated[
    StrictStr, BeforeValidator(_distribution), Field(examples=[*distributions.NAMES, "tables/my.dist"])
]


class Distributions(Directed[Distribution]):
    """The distribution of jitter, or a table file's path, for both directions, or `{up: …, down: …}`."""


class Shares(Directed[Probability]):
    """A share such as `0.1%` for both directions, or `{up: …, down: …}`."""


class Losses(Directed[LossEntry]):
    """Loss for both directions, or `{up: …, down: …}`."""


class CorrelatedShares(Directed[ShareEntry]):
    """A share for both directions, or `{up: …, down: …}`."""


class Reorders(Directed[ReorderEntry]):
    """Reordering for both directions, or `{up: …, down: …}`."""


class Rates(Directed[RateBps]):
    """A rate such as `10mbit` for both directions, or `{up: …, down: …}`."""


class Sizes(Directed[Annotated[StrictInt, Field(ge=-65_535, le=65_535)]]):
    """A number of bytes for both directions, or `{up: …, down: …}`."""


class Counts(Directed[Annotated[StrictInt, Field(ge=1, le=MAX_LIMIT)]]):
    """A number of packets for both directions, or `{up: …, down: …}`."""


class Slots(Directed[SlotEntry]):
    """Slots for both directions, or `{up: …, down: …}`."""


class Switches(Directed[StrictBool]):
    """`true` or `false` for both directions, or `{up: …, down: …}`."""


Seed = Annotated[StrictInt, Field(ge=0, le=2**64 - 1)]


class Paths(Directed[Annotated[StrictStr, Field(min_length=1)]]):
    """A file for both directions, or `{up: …, down: …}`."""


def _ends(value: object) -> object:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(end, str) for end in value):
        return value
    raise ValueError("a link has two ends: [node:interface, node:interface]")


End = Annotated[str, Field(pattern=r"^[^:\s]+(:[^:\s]+)?$", examples=["client-a:eth0", "home-sw"])]


class LinkEntry(Entry):
    """A link. An end is `node:interface`, or a node alone where only one interface can be meant.

    The medium gives delay, jitter, rate and MTU; what is written beside it overrides it. `limit` is the
    queue in packets, `length` a distance that gives the delay, `seed` makes random choices repeatable,
    `playback` is a trace file that changes the link over time. `backend`: who impairs the link; `auto`
    takes netem where the kernel has it.
    `offload`: leave segmentation and checksum offloads on, for throughput work.
    """

    ends: Annotated[tuple[End, End], BeforeValidator(_ends)]
    medium: Annotated[str, Field(json_schema_extra={"enum": list(media)})] = DEFAULT
    length: LengthM | None = None
    delay: Durations | None = None
    jitter: Durations | None = None
    distribution: Distributions | None = None
    delay_correlation: Shares | None = None
    loss: Losses | None = None
    duplicate: CorrelatedShares | None = None
    corrupt: CorrelatedShares | None = None
    reorder: Reorders | None = None
    rate: Rates | None = None
    overhead: Sizes | None = None
    cell_size: Sizes | None = None
    cell_overhead: Sizes | None = None
    limit: Counts | None = None
    slot: Slots | None = None
    ecn: Switches | None = None
    seed: Seed | None = None
    playback: Paths | None = None
    mtu: Annotated[int, Field(ge=68, le=65535)] | None = None
    offload: StrictBool = False
    backend: Literal["auto", "netem", "wire"] = "auto"
