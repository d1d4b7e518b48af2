"""The role `datagrams`: a sender, a counter, and what is lost between them."""

from __future__ import annotations

import socket
from pathlib import Path

from netlab.model.roles import DatagramsSpec
from netlab.proto.numbered import encode
from tests.kit.role_process import roles


def test_what_is_sent_is_counted(tmp_path: Path) -> None:
    with roles(tmp_path) as started:
        counter = started.start("counter", DatagramsSpec(listen=9001))
        spec = DatagramsSpec(to="127.0.0.1:9001", count=200, interval="0.5ms", size=100)
        sender = started.run("sender", spec)
        assert sender.events("datagrams")[0]["sent"] == 200, sender.evidence()
        counter.stop()
        (found,) = counter.events("datagrams")
        keys = ("received", "lost", "duplicates", "out_of_order", "first", "last")
        assert [found[key] for key in keys] == [200, 0, 0, 0, 0, 199], found


def test_losses_duplicates_and_order_are_told(tmp_path: Path) -> None:
    with roles(tmp_path) as started:
        counter = started.start("counter", DatagramsSpec(listen=9002))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", 9002))
            for number in (0, 1, 3, 2, 2, 6):
                sock.send(encode(number, 0, 30))
            sock.send(b"not ours")
        assert counter.stop() == 0, counter.evidence()
        (found,) = counter.events("datagrams")
        keys = ("received", "lost", "duplicates", "out_of_order", "first", "last")
        assert [found[key] for key in keys] == [6, 2, 1, 1, 0, 6], found
