"""netem at interfaces: set, read back and compared, so that a link is never unimpaired in silence."""

from __future__ import annotations

import errno
from dataclasses import replace

from netlab.errors import HostError, KernelError, LabError
from netlab.fabric import message, netem
from netlab.fabric.netlink import RouteSocket
from netlab.model.impairment import Impairment

_SET = message.NLM_F_REQUEST | message.NLM_F_CREATE | message.NLM_F_REPLACE
_GET = message.NLM_F_REQUEST | message.NLM_F_ECHO  # without it, kernels before 6.12 tell only listeners
_PLACES = ((netem.ROOT, netem.ROOT_HANDLE), (netem.CHILD, netem.CHILD_HANDLE))
_NO_NETEM = "use the backend wire or auto, or a kernel with the module sch_netem"
_NO_SEED = "leave the seed out, use the backend wire, or a kernel of 6.6 or later"
_DUPLICATES = "with duplicates, netem takes no rate beside jitter, reorder or slot; the backend wire does"


class Netems:
    """The netems of one lab's interfaces."""

    def __init__(self) -> None:
        self._split: set[tuple[str, str]] = set()
        self._tables: set[tuple[str, str]] = set()

    def set(self, end: tuple[str, str], route: RouteSocket, index: int, impairment: Impairment) -> None:
        """Impair what `end` (node, interface) sends; frames that are on their way keep their times.

        HostError where this kernel has no netem, or not all of what is asked for; KernelError where it
        refuses; LabError where it holds another value than it was given.
        """
        what = f"set netem at {end[0]}:{end[1]}"
        stages = netem.stages(impairment, split=end in self._split)
        if end in self._tables and not stages[-1].table:
            stages = (*stages[:-1], replace(stages[-1], table=netem.UNIFORM))
        for (parent, handle), stage in zip(_PLACES, stages, strict=False):
            _change(what, route, netem.qdisc(index, parent, handle, stage))
            if stage.table:
                self._tables.add(end)
            if parent == netem.CHILD:
                self._split.add(end)
        for (parent, _), stage in zip(_PLACES, stages, strict=False):
            _compare(what, stage, _held(what, route, index, parent))


def _change(what: str, route: RouteSocket, body: bytes) -> None:
    """Same handle and kind: the kernel changes the qdisc that is there, and keeps what is in it."""
    try:
        route.request(what, message.RTM_NEWQDISC, _SET, body)
    except KernelError as error:
        if error.errno == errno.ENOENT:
            raise HostError(f"{what}: this kernel has no netem ({error.extack})", _NO_NETEM) from error
        if "duplicating" in error.extack:
            raise HostError(str(error), _DUPLICATES) from error
        raise


def holding(route: RouteSocket, index: int, parent: int) -> netem.Netem | None:
    """The netem that the kernel holds under `parent` at an interface; None where it is another qdisc."""
    answers = route.request("look at netem", message.RTM_GETQDISC, _GET, netem.query(index, parent))
    return netem.parse(answers[0].payload) if answers else None


def _held(what: str, route: RouteSocket, index: int, parent: int) -> netem.Netem:
    held = holding(route, index, parent)
    if held is None:
        raise LabError(f"{what}: the kernel holds another qdisc")
    return held


def _compare(what: str, wanted: netem.Netem, held: netem.Netem) -> None:
    if wanted.seed is not None and held.seed is None:
        raise HostError(f"{what}: this kernel's netem has no seed", _NO_SEED)
    if wrong := wanted.differences(held):
        raise LabError(f"{what}: the kernel holds {', '.join(wrong)}")
