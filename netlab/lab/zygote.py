"""The zygote: a process that has imported what roles need, and forks them into their nodes.

The supervisor sends one packet per role, with descriptors beside it; the answer is the role's PID in the
lab's PID namespace. A role is PID 1 of a nested PID namespace, so that it takes its children along, and
its parent has ended, so that the kernel makes it a child of the supervisor, which reaps it. (That is why
it has no PR_SET_PDEATHSIG: when its parent, PID 1 of the lab, dies, the kernel kills it anyway.)
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import socket
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from netlab.fabric.enter import CLONE_NEWPID, unshare
from netlab.lab import sandbox

MAX_PACKET = 64 * 1024
_DESCRIPTORS = 7


@dataclass(frozen=True, slots=True)
class Order:
    """One role to start. `serial` names it in the answer. `files`: the node's private files."""

    serial: int
    lab: str
    node: str
    role: str
    kind: str
    files: str
    uid: int
    gid: int
    open_files: tuple[int, int]
    store: str = ""  # a directory of the role's own; "": it needs none


@dataclass(frozen=True, slots=True)
class Hands:
    """The role's descriptors, in the order in which they are sent."""

    namespace: int
    spec: int
    events: int
    keys: int
    log: int
    qlog: int
    control: int

    def in_order(self) -> list[int]:
        return [self.namespace, self.spec, self.events, self.keys, self.log, self.qlog, self.control]


def send_order(channel: socket.socket, order: Order, hands: Hands) -> None:
    """Raises OSError where the zygote is dead."""
    socket.send_fds(channel, [json.dumps(asdict(order)).encode()], hands.in_order())


def serve(channel: socket.socket, kinds: frozenset[str]) -> NoReturn:
    """The zygote's body: import, then fork a role for every order, until the supervisor is gone."""
    from netlab.net.preload import preload

    for kind in sorted(kinds | {"client"}):
        importlib.import_module(f"netlab.roles.{kind}")
    preload()
    gc.collect()
    gc.freeze()  # so that roles share this memory
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, MAX_PACKET, _DESCRIPTORS)
        if not data:
            os._exit(0)
        _fork_role(channel, Order(**json.loads(data)), Hands(*descriptors))
        for descriptor in descriptors:
            os.close(descriptor)


def _fork_role(channel: socket.socket, order: Order, hands: Hands) -> None:
    parent = os.fork()
    if parent:
        os.waitpid(parent, 0)
        return
    status = 1
    try:
        unshare(CLONE_NEWPID)
        role = os.fork()
        if role == 0:
            _become_role(order, hands)
        channel.send(json.dumps({"serial": order.serial, "pid": role}).encode())
        status = 0
    except BaseException:  # noqa: BLE001 - the process ends here; the answer has the reason
        answer = {"serial": order.serial, "pid": 0, "cause": traceback.format_exc()}
        channel.send(json.dumps(answer).encode())
    finally:
        os._exit(status)


def _become_role(order: Order, hands: Hands) -> NoReturn:
    status = 1
    try:
        sandbox.set_standard_streams(hands.log)
        status = _run(order, hands)
    except BaseException:  # noqa: BLE001 - the process ends here; its log has the reason
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(order: Order, hands: Hands) -> int:
    from netlab.model.launch import Launch
    from netlab.net.role_control import control_socket
    from netlab.roles import run

    importlib.import_module(f"netlab.roles.{order.kind}")  # while the files of netlab can be read
    sandbox.name_process(f"{order.node}.{order.role}")
    store = (os.open(order.store, os.O_RDONLY | os.O_DIRECTORY),) if order.store else ()
    sandbox.enter_node(hands.namespace, order.node, Path(order.files), private_tmp=True)
    kept = (hands.spec, hands.events, hands.keys, hands.qlog, *store)
    sandbox.close_all_except((0, 1, 2, *kept, hands.control))
    for descriptor in kept:
        sandbox.make_inheritable(descriptor)
    _set_environment(order, hands)
    if store:
        os.environ["NETLAB_STORE"] = f"/proc/self/fd/{store[0]}"
    resource.setrlimit(resource.RLIMIT_NOFILE, order.open_files)
    sandbox.drop_privileges(sandbox.Account(order.uid, order.gid))
    os.chdir("/")
    launch = Launch.model_validate_json(_whole(hands.spec))
    return run(launch, hands.events, control_socket(os.environ))


def _whole(descriptor: int) -> bytes:
    """All of the file, and back to its start, for a program that the role starts."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        document = file.read()
    os.lseek(descriptor, 0, os.SEEK_SET)
    return document


def _set_environment(order: Order, hands: Hands) -> None:
    """Nothing of the user's own environment but PATH: a lab runs the same wherever it is started."""
    path = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    environment: dict[str, Any] = {
        "PATH": f"{path}:/usr/local/sbin:/usr/sbin:/sbin",
        "LANG": "C.UTF-8",
        "HOME": "/tmp",  # noqa: S108 - the role's own tmpfs
        "NETLAB_ROLE": order.role,
        "NETLAB_SPEC_FD": str(hands.spec),
        "NETLAB_EVENTS_FD": str(hands.events),
        "NETLAB_CONTROL_FD": str(hands.control),
        "SSLKEYLOGFILE": f"/proc/self/fd/{hands.keys}",
        "NETLAB_QLOG": f"/proc/self/fd/{hands.qlog}",
    }
    os.environ.clear()
    os.environ.update(environment | sandbox.node_environment(order.lab, order.node))
