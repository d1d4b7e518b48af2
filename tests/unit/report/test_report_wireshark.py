"""The Wireshark profile of a run."""

from __future__ import annotations

from itertools import pairwise

from netlab.report.wireshark import colour_filters, preferences


def test_only_a_wireshark_that_knows_it_is_told_to_keep_sightings_apart() -> None:
    line = "protocols.conversation_deinterlacing_key: .MI"
    assert line in preferences((4, 4, 0)).splitlines()
    assert line in preferences((5, 0, 1)).splitlines()
    assert "deinterlacing" not in preferences((4, 2, 9))
    assert "deinterlacing" not in preferences((0,))


def test_columns_are_pairs_that_wireshark_can_read() -> None:
    text = preferences((4, 4))
    start = text.index("gui.column.format:")
    block = text[start : text.index("nameres.")].splitlines()
    assert all(line.count('"') == 4 for line in block[1:]), block
    assert '"Interface", "%Cus:frame.interface_name:0:R"' in text


def test_neighbours_have_different_colours() -> None:
    lines = colour_filters([f"n{number}:eth0" for number in range(20)]).splitlines()[1:]
    assert len(lines) == 20
    colours = [line.rpartition("][")[0].rpartition("[")[2] for line in lines]
    assert all(one != other for one, other in pairwise(colours))
    assert 'frame.interface_name == "n0:eth0"' in lines[0]
