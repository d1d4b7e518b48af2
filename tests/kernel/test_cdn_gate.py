"""What stands before an edge's cache, by live sockets: limits, the check for bots, functions; and gzip."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from netlab.errors import LabError
from netlab.model.roles.cdn import Bots, CacheKey, EdgeFunction
from netlab.model.roles.limits import RateLimit
from netlab.net.stream import Stream
from tests.kit.edge import PORT, Edge, edge, http
from tests.kit.roles_in_process import until

FRESH = "Cache-Control: max-age=300"
TEXT = b"a line of text\n" * 100
EXAMPLES = (Path(__file__).parents[2] / "topologies" / "edge_functions.py").read_text()


async def script(head: str, stream: Stream) -> None:
    arm = next((line for line in head.split("\r\n") if line.startswith("X-Arm")), "")
    fields = (FRESH, "Content-Type: text/plain", 'ETag: "1"', "Server: secret")
    await stream.write(http(arm.encode() + TEXT, *fields))


def function(source: str, name: str = "f", **more: Any) -> EdgeFunction:
    return EdgeFunction.model_validate({"call": f"edge.py:{name}", "source": source, **more})


def test_too_many_requests_are_refused_and_told_when_to_come_back(tmp_path: Path) -> None:
    async def work(made: Edge) -> None:
        answers = [await made.ask("/a") for _ in range(4)]
        assert [one.status for one in answers] == [200, 200, 200, 429]
        assert answers[0].fields["ratelimit-policy"] == '"default";q=3;w=60'
        assert answers[1].fields["ratelimit"].startswith('"default";r=1')
        assert int(answers[3].fields["retry-after"]) > 0
        assert len(made.role.events("rate-limited")) == 1

    limit = RateLimit.model_validate({"quota": 3, "window": "60s"})
    edge(tmp_path, script, work, rate_limits=(limit,))


def test_a_tool_is_refused_and_a_browser_is_not(tmp_path: Path) -> None:
    browser = (
        "User-Agent: Mozilla/5.0 Firefox/128.0",
        "Accept: */*",
        "Accept-Language: en",
        "Accept-Encoding: gzip",
    )

    async def work(made: Edge) -> None:
        assert (await made.ask("/a", *browser)).status == 200
        assert (await made.ask("/a", "User-Agent: curl/8")).status == 403
        assert (await made.ask("/a")).status == 403
        assert (await made.ask("/a", "User-Agent: curl/8 of netlab")).status == 200
        (first, _) = made.role.events("bot-refused")
        assert first["signs"] == ["User-Agent of a tool", "no Accept"]
        assert len(made.asked) == 1, made.asked

    edge(tmp_path, script, work, bots=Bots(allow=("of netlab",)))


# Functions are bounded by a timer of the process's main thread, in which no test is: so each has a process.


def test_functions_choose_an_arm_check_a_token_and_rewrite_heads(tmp_path: Path) -> None:
    names = ("choose_arm", "check_token", "old_paths")
    functions = [function(EXAMPLES, name) for name in names]
    functions += [function(EXAMPLES, name, on="response") for name in ("keep_arm", "hide_origin")]

    async def work(made: Edge) -> None:
        key = CacheKey(headers=("X-Arm",))
        async with made.process(PORT + 1, functions=tuple(functions), key=key) as asked:
            await talk(asked)

    async def talk(made: Edge) -> None:
        a, b = [await made.ask("/x", f"Cookie: arm={arm}") for arm in "ab"]
        assert (a.body[:8], b.body[:8]) == (b"X-Arm: a", b"X-Arm: b")
        again = await made.ask("/v1/x", "Cookie: arm=b")
        assert "hit" in again.cache, again.cache
        assert again.body == b.body
        assert "server" not in a.fields
        assert "set-cookie" not in a.fields
        assert (await made.ask("/x")).fields["set-cookie"].startswith("arm=")
        refused = await made.ask("/members/x")
        assert (refused.status, refused.body) == (401, b"members only\n")
        assert (await made.ask("/members/x", "X-Token: let-me-in")).status == 200

    edge(tmp_path, script, work)


SPIN = """
def f(request):
    while True:
        try:
            pass
        except Exception:
            pass
"""
FAILING = (
    "def f(request): raise RuntimeError('secret')",
    "import sys\ndef f(request): sys.exit(3)",
    SPIN,
    "def f(request): return 'x'",
    "def f(request): request.headers['X'] = 'a\\r\\nb: c'",
)
CAUSES = ("RuntimeError: secret", "SystemExit: 3", "not done in 20 ms", "TypeError:", "ValueError:")


def test_a_function_that_fails_is_left_out_or_is_500_and_no_traceback(tmp_path: Path) -> None:
    bypassed = [function(source, limit="20ms", on_error="bypass") for source in FAILING]
    late = function(SPIN.replace("request", "request, response"), on="response", limit="20ms")

    async def work(made: Edge) -> None:
        async with made.process(PORT + 1, functions=tuple(bypassed)) as asked:
            for _ in range(2):
                answer = await asked.ask("/x")
                assert (answer.status, answer.body) == (200, TEXT), answer
            await until(lambda: len(asked.role.events("function-failed")) == 2 * len(CAUSES), "all said")
            causes = [one["cause"] for one in asked.role.events("function-failed")]
            for cause, start in zip(causes, CAUSES * 2, strict=True):
                assert cause.startswith(start), causes
        async with made.process(PORT + 2, functions=(function(FAILING[0]),)) as asked:
            answer = await asked.ask("/x")
            assert (answer.status, answer.body) == (500, b"the edge failed\n")
        async with made.process(PORT + 3, functions=(late,)) as asked:
            assert (await asked.ask("/x")).status == 500

    edge(tmp_path, script, work)


def test_a_file_that_can_not_be_run_stops_the_role(tmp_path: Path) -> None:
    async def work(made: Edge) -> None:
        raise AssertionError(made.role.events())

    with pytest.raises(ExceptionGroup) as caught:
        edge(tmp_path, script, work, functions=(function("import nothing_of_this_name"),))
    assert caught.group_contains(LabError, match="nothing_of_this_name")


def test_text_is_compressed_once_for_who_wants_it(tmp_path: Path) -> None:
    async def work(made: Edge) -> None:
        for cache in ("fwd=uri-miss", "hit", "hit"):
            packed = await made.ask("/x", "Accept-Encoding: gzip")
            assert cache in packed.cache
            assert gzip.decompress(packed.body) == TEXT
            assert packed.fields["content-encoding"] == "gzip"
            assert packed.fields["vary"] == "Accept-Encoding"
            assert packed.fields["etag"] == 'W/"1"'
            assert int(packed.fields["content-length"]) == len(packed.body) < len(TEXT) / 5
        plain = await made.ask("/x")
        assert (plain.body, plain.fields["etag"], plain.fields["vary"]) == (TEXT, '"1"', "Accept-Encoding")
        part = await made.ask("/x", "Accept-Encoding: gzip", "Range: bytes=0-5")
        assert (part.status, part.body) == (206, b"a line")
        same = await made.ask("/x", "Accept-Encoding: gzip", 'If-None-Match: W/"1"')
        assert (same.status, same.fields["vary"]) == (304, "Accept-Encoding")
        assert len(made.asked) == 1, made.asked

    edge(tmp_path, script, work, compress=True)


def test_a_long_text_is_compressed_while_it_passes(tmp_path: Path) -> None:
    long = b"".join(b"line %d\n" % number for number in range(60_000))

    async def origin(_: str, stream: Stream) -> None:
        await stream.write(http(long, FRESH, "Content-Type: text/plain"))

    async def work(made: Edge) -> None:
        said = await made.talk(
            b"GET /x HTTP/1.0\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n"
        )  # without chunks, so that the body is the rest
        head, _, body = said.partition(b"\r\n\r\n")
        assert b"Content-Encoding: gzip" in head, head
        assert b"Content-Length" not in head, head
        assert gzip.decompress(body) == long
        assert gzip.decompress((await made.ask("/x", "Accept-Encoding: gzip")).body) == long

    edge(tmp_path, origin, work, compress=True)
