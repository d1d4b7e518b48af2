"""The generated page is what the code says."""

from __future__ import annotations

from pathlib import Path

from netlab.cli.app import VERBS
from netlab.cli.reference import page
from netlab.model.event import EVENTS

ROOT = Path(__file__).parents[3]


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert written == page(), "docs/reference.md is not what the code says: run `make docs`"


def test_it_names_every_verb_role_and_event() -> None:
    text = page()
    roles = [path.stem for path in (ROOT / "netlab" / "roles").glob("[a-z]*.py") if path.stem != "run"]
    headings = [f"### netlab {verb}\n" for verb in VERBS] + [f"### {role}\n" for role in roles]
    missing = [one for one in (*headings, *(f"| `{event}` |" for event in EVENTS)) if one not in text]
    assert not missing, missing
