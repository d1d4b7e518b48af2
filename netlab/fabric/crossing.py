"""Frames from one interface to another past the stack, as messages of rtnetlink. Pure.

An ingress qdisc with one filter that matches everything (cls_u32 without a key: the oldest there is, and in
every kernel that has netem) and redirects to the other interface's egress (act_mirred). There, its root
qdisc, netem, meets the frame; the taps of packet sockets at both far ends are outside.

Layout from <linux/pkt_cls.h>, <linux/tc_act/tc_mirred.h> and <linux/pkt_sched.h>.
"""

from __future__ import annotations

import socket
import struct

from netlab.fabric.message import attribute, text

RTM_NEWTFILTER = 44

_INGRESS_PARENT, _INGRESS_HANDLE = 0xFFFF_FFF1, 0xFFFF_0000  # TC_H_INGRESS, and ffff: as tc shows it
_TCA_KIND, _TCA_OPTIONS = 1, 2
_U32_SEL, _U32_ACT, _U32_TERMINAL = 5, 7, 1
_ACT_KIND, _ACT_OPTIONS, _MIRRED_PARMS = 1, 2, 2
_FIRST = 1  # the only action, and the only filter's priority
_TC_ACT_STOLEN, _EGRESS_REDIR = 4, 1
_ETH_P_ALL = 3
_NESTED = 0x8000

_tcmsg = struct.Struct("=BxxxiIII")  # family, interface index, handle, parent, info
_selector = struct.Struct("=BBBxHHhhI")  # flags, offset shift, keys, offset mask, offset, its offset, hash
_mirred = struct.Struct("=IIiiiiI")  # index, capabilities, action, two counts, what to do, interface index


def ingress(index: int) -> bytes:
    """Body of RTM_NEWQDISC: what comes in at the interface with this index meets filters."""
    return _tcmsg.pack(0, index, _INGRESS_HANDLE, _INGRESS_PARENT, 0) + text(_TCA_KIND, "ingress")


def redirect(index: int, to: int) -> bytes:
    """Body of RTM_NEWTFILTER: whatever comes in at `index` leaves by the interface `to`."""
    info = _FIRST << 16 | socket.htons(_ETH_P_ALL)
    parameters = _mirred.pack(0, 0, _TC_ACT_STOLEN, 0, 0, _EGRESS_REDIR, to)
    action = text(_ACT_KIND, "mirred") + attribute(
        _ACT_OPTIONS | _NESTED, attribute(_MIRRED_PARMS, parameters)
    )
    options = attribute(_U32_SEL, _selector.pack(_U32_TERMINAL, 0, 0, 0, 0, 0, 0, 0))
    options += attribute(_U32_ACT | _NESTED, attribute(_FIRST | _NESTED, action))
    head = _tcmsg.pack(0, index, 0, _INGRESS_HANDLE, info)
    return head + text(_TCA_KIND, "u32") + attribute(_TCA_OPTIONS | _NESTED, options)
