"""What a running role is told, and what it answers."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from netlab.errors import InputError, LocalProtocolError
from netlab.model.launch import Launch
from netlab.model.roles import AppSpec
from netlab.net.context import RoleContext
from netlab.net.role_control import RoleControl, Settings

NODES = {"app-1": ["10.0.0.51", "2001:db8::1"]}


def told(control: RoleControl, **settings: str) -> dict[str, Any]:
    return control.answer({"op": "set", "settings": settings, "nodes": NODES})


def test_a_handler_gets_the_settings_and_answers_with_those_before() -> None:
    now = {"weights": "1", "algorithm": "random"}

    def change(settings: Settings) -> Settings:
        before = {key: now[key] for key in settings}
        now.update(settings)
        return before

    control = RoleControl("balancer")
    control.on_settings(change)
    assert told(control, weights="3") == {"ok": {"weights": "1"}}
    assert now == {"weights": "3", "algorithm": "random"}


def test_names_are_those_of_the_lab_s_nodes_and_addresses_stand_for_themselves() -> None:
    control = RoleControl("balancer")
    found: list[tuple[str, ...]] = []

    def change(settings: Settings) -> Settings:
        found.append(control.addresses_of(settings["to"]))
        return {"to": ""}

    control.on_settings(change)
    assert told(control, to="app-1") == {"ok": {"to": ""}}
    assert told(control, to="10.0.0.99") == {"ok": {"to": ""}}
    assert found == [("10.0.0.51", "2001:db8::1"), ("10.0.0.99",)]
    error = told(control, to="app-7")["error"]
    assert (error["kind"], error["remedy"]) == ("InputError", "did you mean `app-1`?"), error


def test_what_a_handler_refuses_is_an_answer_with_cause_and_remedy() -> None:
    def change(_: Settings) -> Settings:
        raise InputError("no setting `colour`", "known: weights")

    control = RoleControl("balancer")
    control.on_settings(change)
    error = told(control, colour="red")["error"]
    assert error == {
        "kind": "InputError",
        "cause": "no setting `colour`",
        "remedy": "known: weights",
        "fields": {},
    }


def test_a_role_without_a_handler_refuses() -> None:
    error = told(RoleControl("ocsp"), a="b")["error"]
    assert error["kind"] == "InputError"
    assert "ocsp has no settings" in error["cause"]


def test_a_handler_that_forgets_a_value_before_is_a_bug() -> None:
    control = RoleControl("balancer")
    control.on_settings(lambda _: {})
    assert told(control, a="b")["error"]["kind"] == LocalProtocolError.__name__


def test_an_unknown_operation_is_an_error() -> None:
    assert "no operation 'dance'" in RoleControl("app").answer({"op": "dance"})["error"]["cause"]


def test_a_change_is_an_event_and_a_refusal_is_none(tmp_path: Path) -> None:
    async def change() -> None:
        async with asyncio.TaskGroup() as tasks:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            ctx = RoleContext(Launch(lab="l", node="n", role="app", spec=AppSpec()), descriptor, tasks)
            ctx.on_settings(handler)
            told(ctx.control, delay="1s")
            told(ctx.control, colour="red")
            ctx.flush()
            os.close(descriptor)

    def handler(settings: Settings) -> Settings:
        if "colour" in settings:
            raise InputError("no such setting")
        return {"delay": "0s"}

    path = tmp_path / "events"
    asyncio.run(change())
    (event,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert event["event"] == "settings-changed"
    assert (event["settings"], event["before"]) == ({"delay": "1s"}, {"delay": "0s"})


@pytest.mark.parametrize("word", ["weights", "=3", ""])
def test_words_must_be_key_and_value(word: str) -> None:
    from netlab.model.role_settings import parse_settings

    with pytest.raises(InputError, match="is not KEY=VALUE"):
        parse_settings([word])
