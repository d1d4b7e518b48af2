"""The app under load and under retries: Idempotency-Key, load shedding, deadlines."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from netlab.model.roles import AppSpec
from netlab.roles import app as app_role
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.roles_in_process import Running, running

Answer = tuple[int, dict[str, str], Any]
Ask = Callable[..., Coroutine[Any, Any, Answer]]


def app(directory: Path, work: Callable[[Ask, Running], Awaitable[None]], **fields: Any) -> None:
    """Run `work` beside an app without a database; it gets a call that asks: method, target, headers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def serve(spec: Any, ctx: Any, _: tuple[str, ...]) -> None:
        await app_role.serve(spec, ctx)

    async def ask(method: str, target: str, body: str = "", **headers: str) -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        fields = {"Host": "app", "Connection": "close", "Content-Length": str(len(body)), **headers}
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        head, _, content = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        first, *rest = head.split("\r\n")
        found = {name.lower(): value for name, _, value in (field.partition(": ") for field in rest)}
        return int(first.split()[1]), found, json.loads(content) if content else None

    async def main() -> None:
        spec = AppSpec.model_validate({"listen": port, "http": ("1.1",), **fields})
        async with (
            asyncio.timeout(30),
            running(serve, spec, directory, "app", (), trust_pem="", bearer_token="") as role,
        ):
            await work(ask, role)

    loopback_up()
    asyncio.run(main())


def test_an_order_with_a_key_is_made_once(tmp_path: Path) -> None:
    async def work(ask: Ask, _: Running) -> None:
        first = await ask("POST", "/orders", "tea", Idempotency_Key='"k1"')
        again = await ask("POST", "/orders", "tea", Idempotency_Key="k1")
        assert first[0] == again[0] == 201, (first, again)
        assert first[1]["location"] == again[1]["location"] == "/orders/1"
        assert "idempotent-replayed" not in first[1]
        assert again[1]["idempotent-replayed"] == "true"
        assert (await ask("POST", "/orders", "coffee", Idempotency_Key="k1"))[0] == 422
        assert (await ask("POST", "/orders", "tea", Idempotency_Key="k1", X_Auth_Subject="bob"))[0] == 201
        assert (await ask("GET", "/orders"))[2] == {"count": 2}, "keys are each subject's own"
        await ask("POST", "/orders", "tea")
        await ask("POST", "/orders", "tea")
        assert (await ask("GET", "/orders"))[2] == {"count": 4}, "without a key each one counts"
        assert (await ask("GET", "/orders/4"))[0] == 200
        assert (await ask("GET", "/orders/5"))[0] == 404
        assert (await ask("POST", "/orders", "x", Idempotency_Key='""'))[0] == 400
        assert (await ask("POST", "/orders", "x" * 70_000))[0] == 413
        assert (await ask("DELETE", "/orders"))[1]["allow"] == "GET, HEAD, POST"
        assert (await ask("POST", "/orders?ms=soon"))[0] == 400

    app(tmp_path, work)


def test_the_second_while_the_first_is_worked_on(tmp_path: Path) -> None:
    async def work(ask: Ask, _: Running) -> None:
        async def second() -> Answer:
            await asyncio.sleep(0.1)
            return await ask("POST", "/orders?ms=400", "tea", Idempotency_Key="k")

        slow, early = await asyncio.gather(
            ask("POST", "/orders?ms=400", "tea", Idempotency_Key="k"), second()
        )
        assert early[0] == 409
        assert early[1]["retry-after"] == "1"
        assert slow[2]["order"] == 1
        late = await ask("POST", "/orders?ms=400", "tea", Idempotency_Key="k")
        assert (late[0], late[2]["order"]) == (201, 1)

    app(tmp_path, work)


def test_who_leaves_before_the_answer_gets_it_with_the_key_later(tmp_path: Path) -> None:
    async def work(ask: Ask, _: Running) -> None:
        await ask("POST", "/orders?ms=200", "tea", Idempotency_Key="k", Request_Timeout="50")
        await asyncio.sleep(0.3)
        late = await ask("POST", "/orders?ms=200", "tea", Idempotency_Key="k")
        assert (late[0], late[2]["order"], late[1].get("idempotent-replayed")) == (201, 1, "true")
        assert (await ask("GET", "/orders"))[2] == {"count": 1}

    app(tmp_path, work)


def test_what_is_too_much_is_refused_at_once(tmp_path: Path) -> None:
    async def work(ask: Ask, role: Running) -> None:
        found = await asyncio.gather(*(ask("GET", "/slow?ms=300") for _ in range(6)))
        assert sorted(one[0] for one in found) == [200, 200, 503, 503, 503, 503]
        refused = [one for one in found if one[0] == 503]
        assert {one[1]["retry-after"] for one in refused} == {"2"}
        assert len(role.events("shed")) == 4
        busy = asyncio.gather(*(ask("GET", "/slow?ms=300") for _ in range(2)))
        await asyncio.sleep(0.1)
        assert (await ask("GET", "/health"))[0] == 200, "whoever checks its health is answered"
        await busy
        assert (await ask("GET", "/slow?ms=1"))[0] == 200

    app(tmp_path, work, shed={"concurrency": 2, "retry_after": "1500ms"})


def test_work_past_the_caller_s_deadline_ends(tmp_path: Path) -> None:
    async def work(ask: Ask, role: Running) -> None:
        began = role.ctx.now()
        late = await ask("GET", "/slow?ms=2000", Request_Timeout="100")
        assert late[0] == 504, late
        assert role.ctx.now() - began < 1.5
        assert (await ask("GET", "/slow?ms=1", Request_Timeout="0"))[0] == 504
        assert (await ask("GET", "/slow?ms=1", Request_Timeout="5000"))[0] == 200
        assert (await ask("GET", "/slow?ms=1", Request_Timeout="soon"))[0] == 200, "it says nothing"
        assert len(role.events("deadline-exceeded")) == 2

    app(tmp_path, work)
