"""What a process in a node sees: the node's network, its own files in /etc, and nothing of other labs.

Used for roles (unprivileged, PID 1 of a PID namespace of their own) and for `netlab exec` and `shell`
(root, in the lab's PID namespace). All mounts are private: they end with the process.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import pwd
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from netlab.errors import KernelError
from netlab.fabric.enter import (
    CLONE_NEWNS,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    enter,
    mount,
    unshare,
)

CLONE_NEWUTS = 0x0400_0000  # <linux/sched.h>
CLONE_NEWIPC = 0x0800_0000
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PR_SET_NAME = 15
PR_SET_NO_NEW_PRIVS = 38

# Where the lab's root certificate is, in every node. The directory is a private tmpfs over all labs' state.
PRIVATE = Path("/run/netlab")
TRUST = PRIVATE / "trust.pem"
KEYS = PRIVATE / "keys.log"
_ETC = ("resolv.conf", "hosts", "nsswitch.conf")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Account:
    """Whom roles run as."""

    uid: int
    gid: int

    @classmethod
    def unprivileged(cls) -> Account:
        """`nobody`, which PostgreSQL wants to find in the password file."""
        try:
            found = pwd.getpwnam("nobody")
        except KeyError:
            return cls(65534, 65534)
        return cls(found.pw_uid, found.pw_gid)


def enter_node(
    namespace_fd: int, node: str, files: Path, *, private_tmp: bool, keys: Path | None = None
) -> None:
    """Move this process into the node's network, and give it mounts and a host name of its own.

    `files` holds resolv.conf, hosts, nsswitch.conf and trust.pem. The process must be in the PID
    namespace whose /proc it shall see. `keys`: a key log of the state directory, to be seen as KEYS.
    Raises KernelError.
    """
    enter(namespace_fd)
    unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC)
    socket.sethostname(node)
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    trust = (files / "trust.pem").read_bytes()
    _mount_etc(files)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    # /sys/class/net is the node's only in a sysfs that was mounted from inside
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY)
    if private_tmp:
        for place in ("/tmp", "/dev/shm"):  # noqa: S108 - the mount points
            if Path(place).is_dir():
                mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    key_log = os.open(keys, os.O_PATH | os.O_CLOEXEC) if keys is not None else None
    mount("tmpfs", str(PRIVATE), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    TRUST.write_bytes(trust)
    TRUST.chmod(0o644)
    if key_log is not None:
        KEYS.touch(0o600)
        mount(f"/proc/self/fd/{key_log}", str(KEYS), flags=MS_BIND)
        os.close(key_log)


def _mount_etc(files: Path) -> None:
    """The node's files over those of /etc. A link (resolv.conf often is) is followed; where it leads
    nowhere, or the machine has no such file, nothing may be created: an overlay shows it instead."""
    missing = [name for name in _ETC if not Path("/etc", name).is_file()]
    if missing:
        mount("overlay", "/etc", "overlay", data=f"lowerdir={files}:/etc")
    for name in _ETC:
        if name not in missing:
            mount(str(files / name), os.path.realpath(f"/etc/{name}"), flags=MS_BIND)


def drop_privileges(account: Account) -> None:
    """Become an unprivileged user without capabilities, for good. Raises KernelError."""
    os.setgroups([])
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    os.umask(0o077)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def prctl(option: int, value: int) -> None:
    """prctl(2). Raises KernelError."""
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        raise KernelError(f"prctl {option}", ctypes.get_errno())


def name_process(name: str) -> None:
    """What `ps -o comm` and top show; the kernel keeps 15 bytes (PR_SET_NAME)."""
    _libc.prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0)


def close_all_except(keep: Iterable[int]) -> None:
    """Close every descriptor that isn't in `keep`, whoever opened it."""
    start = 0
    for descriptor in sorted(set(keep)):
        if start < descriptor:  # CPython takes closerange(0, 0) for everything
            os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, max(_highest_descriptor(), start) + 1)


def _highest_descriptor() -> int:
    try:
        return max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EMFILE):
            raise
        return os.sysconf("SC_OPEN_MAX")


def set_standard_streams(output: int, source: str = os.devnull) -> None:
    """stdin from `source`, stdout and stderr to the descriptor `output`."""
    descriptor = os.open(source, os.O_RDONLY)
    for wanted, target in ((descriptor, 0), (output, 1), (output, 2)):
        os.dup2(wanted, target, inheritable=True)


def make_inheritable(descriptor: int) -> None:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFD)
    fcntl.fcntl(descriptor, fcntl.F_SETFD, flags & ~fcntl.FD_CLOEXEC)


def node_environment(lab: str, node: str) -> dict[str, str]:
    """What every process in a node finds; curl, OpenSSL, Python and Node.js trust the lab's root."""
    trust = str(TRUST)
    return {
        "NETLAB_LAB": lab,
        "NETLAB_NODE": node,
        "SSL_CERT_FILE": trust,
        "CURL_CA_BUNDLE": trust,
        "REQUESTS_CA_BUNDLE": trust,
        "NODE_EXTRA_CA_CERTS": trust,
    }
