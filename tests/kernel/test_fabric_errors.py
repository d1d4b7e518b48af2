"""What the kernel refuses, and how it is said."""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable

import pytest

from netlab.errors import HostError, KernelError, LabError
from netlab.fabric.enter import CLONE_NEWNET, CLONE_NEWNS, enter, mount, umount, unshare
from netlab.fabric.kernel import Kernel
from netlab.fabric.probe import probe
from netlab.model.impairment import Impairment
from netlab.plan.ops import (
    AddAddress,
    AddRoute,
    CreateBridge,
    CreateNamespace,
    CreateVeth,
    Operation,
    Port,
    SetOffloads,
    SetQdisc,
    SetSysctl,
    StartWire,
)
from tests.kit.inside import ip_json


def veth(a: str, b: str) -> CreateVeth:
    """A veth between interfaces written as node:interface."""
    ends = []
    for number, end in enumerate((a, b)):
        node, _, interface = end.partition(":")
        ends.append(Port(node, interface, f"02:00:00:00:00:0{number}", 1500))
    return CreateVeth(*ends)


BASE: tuple[Operation, ...] = (
    CreateNamespace("a"),
    CreateNamespace("b"),
    veth("a:eth0", "b:eth0"),
    AddAddress("a", "eth0", "10.0.0.1/24"),
)


@pytest.mark.parametrize(
    ("operation", "number", "said"),
    [
        (AddAddress("a", "eth0", "10.0.0.1/24"), errno.EEXIST, "add address 10.0.0.1/24 to a:eth0"),
        (AddAddress("a", "eth7", "10.0.0.1/24"), errno.ENODEV, "add address 10.0.0.1/24 to a:eth7"),
        (
            AddRoute("a", "10.9.0.0/16", "192.168.9.9"),
            errno.ENETUNREACH,
            "add route to 10.9.0.0/16 via 192.168.9.9 in a",
        ),
        (veth("a:eth0", "b:eth1"), errno.EEXIST, "create veth a:eth0 -- b:eth1"),
        (veth("a:an-interface-name-too-long", "b:eth1"), errno.ERANGE, "create veth a:an-interface"),
        (CreateBridge("a", "eth0", "02:00:00:00:00:09", ()), errno.EEXIST, "create bridge a:eth0"),
        (CreateBridge("a", "br0", "02:00:00:00:00:09", ("eth9",)), errno.ENODEV, "create bridge a:br0"),
        (CreateNamespace("a"), errno.EEXIST, "create namespace a"),
        (SetSysctl("a", "net.ipv4.no_such", "1"), errno.ENOENT, "set sysctl net.ipv4.no_such = 1 in a"),
        (SetSysctl("a", "net.ipv4.ip_forward", "yes"), errno.EINVAL, "set sysctl net.ipv4.ip_forward"),
        (SetOffloads("a", "eth9", enabled=False), errno.ENODEV, "turn offloads off at a:eth9"),
    ],
)
def test_a_refusal_names_the_operation(
    kernel: Kernel, host_unchanged: None, operation: Operation, number: int, said: str
) -> None:
    with pytest.raises(KernelError) as raised:
        kernel.apply([*BASE, operation])
    assert raised.value.operation.startswith(said)
    assert raised.value.errno == number, raised.value


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (AddAddress("nobody", "eth0", "10.0.0.1/24"), "there is no node nobody"),
        (
            AddAddress("a", "eth0", "10.0.0.300/24"),
            "add address 10.0.0.300/24 to a:eth0: '10.0.0.300' is not",
        ),
        (AddRoute("a", "10.0.0.0/33", "10.0.0.2"), "'10.0.0.0/33' has no valid prefix length"),
        (AddRoute("a", "fd00::/8", "10.0.0.2"), "another family"),
        (SetSysctl("a", "kernel.hostname", "x"), "not a network sysctl"),
        (SetSysctl("a", "net.ipv4//./.ip_forward", "1"), "not a network sysctl"),
    ],
)
def test_nonsense_is_refused_before_the_kernel_sees_it(
    kernel: Kernel, operation: Operation, said: str
) -> None:
    with pytest.raises(LabError) as raised:
        kernel.apply([*BASE, operation])
    assert said in str(raised.value)


def test_the_kernels_own_words_are_kept(kernel: Kernel) -> None:
    with pytest.raises(KernelError, match="invalid gateway") as raised:
        kernel.apply([*BASE, AddRoute("a", "10.9.0.0/16", "192.168.9.9")])
    assert raised.value.extack


def test_the_first_failure_of_a_batch_is_named(kernel: Kernel) -> None:
    routes: list[Operation] = [AddRoute("a", f"10.1.{i}.0/24", "10.0.0.2") for i in range(200)]
    routes[77] = AddRoute("a", "10.1.5.0/24", "10.0.0.3")
    routes[78] = AddRoute("a", "10.1.6.0/24", "10.0.0.3")
    with pytest.raises(KernelError) as raised:
        kernel.apply([*BASE, *routes])
    assert raised.value.operation == "add route to 10.1.5.0/24 via 10.0.0.3 in a"
    assert raised.value.errno == errno.EEXIST


def test_more_failures_than_the_receive_buffer_holds(kernel: Kernel) -> None:
    bad: list[Operation] = [AddRoute("a", f"10.1.{i % 250}.0/24", "192.168.9.9") for i in range(5000)]
    with pytest.raises(KernelError) as raised:
        kernel.apply([*BASE, *bad])
    assert raised.value.operation == "add route to 10.1.0.0/24 via 192.168.9.9 in a"


def test_operations_of_the_lab_are_not_the_kernels(kernel: Kernel) -> None:
    with pytest.raises(TypeError, match="start wire"):
        kernel.apply([StartWire(())])


def test_what_is_not_there_is_said(kernel: Kernel) -> None:
    kernel.apply(BASE)
    with pytest.raises(LabError, match="there is no node c"):
        kernel.namespace("c")
    with pytest.raises(LabError, match="there is no node c"):
        kernel.set_link("c", "eth0", up=True)
    with pytest.raises(LabError, match="a has no interface eth1") as raised:
        kernel.set_link("a", "eth1", up=True)
    assert raised.value.remedy == "it has lo, eth0"


def test_a_failure_in_progress_comes_out(kernel: Kernel) -> None:
    def fail(done: int) -> None:
        raise RuntimeError(f"at {done}")

    with pytest.raises(RuntimeError, match="at 0"):
        kernel.apply(BASE, fail)


def test_after_a_failure_close_leaves_nothing(host_unchanged: None) -> None:
    kernel = Kernel()
    with pytest.raises(KernelError):
        kernel.apply([*BASE, *BASE])
    kernel.close()
    with pytest.raises(LabError):
        kernel.namespace("a")


def test_without_netem_an_impairment_is_an_error(kernel: Kernel) -> None:
    if probe().netem:
        pytest.skip("this kernel has netem")
    with pytest.raises(HostError, match="set netem at a:eth0: this kernel has no netem") as raised:
        kernel.apply([*BASE, SetQdisc("a", "eth0", Impairment(delay_ns=1_000_000))])
    assert "wire" in raised.value.remedy


def test_the_limit_of_open_files_is_raised_or_said(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(300, 2000)]

    def lower(_: int) -> tuple[int, int]:
        return limits[-1]

    def record(_: int, new: tuple[int, int]) -> None:
        limits.append(new)

    monkeypatch.setattr(resource, "getrlimit", lower)
    monkeypatch.setattr(resource, "setrlimit", record)
    kernel.apply([CreateNamespace(f"n{i}") for i in range(100)])
    assert limits[-1] == (456, 2000)
    with pytest.raises(HostError, match="open files"):
        kernel.apply([CreateNamespace(f"m{i}") for i in range(1000)])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: enter(0), "enter namespace: Invalid argument"),
        (lambda: enter(-1), "enter namespace: Bad file descriptor"),
        (lambda: unshare(1), "create namespace: Invalid argument"),
        (lambda: mount("none", "/no/such/place", "tmpfs"), "mount none at /no/such/place: No such file"),
        (lambda: umount("/proc/self"), "unmount /proc/self: Invalid argument"),
    ],
)
def test_namespace_calls_that_fail_say_which(call: Callable[[], None], said: str) -> None:
    with pytest.raises(KernelError, match=said):
        call()


def test_the_calling_thread_stays_where_it_is(kernel: Kernel) -> None:
    kernel.apply(BASE)
    unshare(CLONE_NEWNET | CLONE_NEWNS)
    kernel.apply([AddAddress("b", "eth0", "10.0.0.2/24"), SetSysctl("b", "net.ipv4.ip_forward", "1")])
    assert [link["ifname"] for link in ip_json(kernel.namespace("b"), "link")] == ["lo", "eth0"]
