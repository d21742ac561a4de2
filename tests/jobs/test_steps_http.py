"""The http step: what is sent, what an answer means, where nothing may be sent."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from yarl import URL

from jobs.failures import normalise_cause
from jobs.steps import compile_step, guard
from jobs.steps.base import Continue, Failed, Prepared, Retry, StepInput, Uncertain
from jobs.steps.clients import Clients, HttpRequest, NotSent
from tests.jobs.effects_rig import Rig, open_rig, perform


@pytest.fixture
async def rig(settings: Any) -> AsyncIterator[Rig]:
    async with open_rig() as opened:
        settings.INTERNAL_HOSTS = [f"127.0.0.1:{opened.port}", "localhost"]
        yield opened


async def test_a_request_carries_what_the_step_says_and_keeps_what_it_maps(rig: Rig) -> None:
    url = rig.answer("/c", 201, {"data": {"items": [{"id": "o-1"}]}, "echo": "t0p-s3cret"})
    made = await perform(
        "http",
        {
            "url": url + "?q={{ contact.name | url_encode }}",
            "headers": [{"name": "X-Key", "value": "Bearer {{ secrets.KEY }}"}],
            "body_type": "json",
            "body": '{"email": "{{ contact.email }}"}',
            "mapping": [
                {"path": "data.items[0].id", "field": "order"},
                {"path": "echo", "field": "echo"}, {"path": "none", "field": "none"},
            ],
        },
        secrets={"KEY": "t0p-s3cret"},
    )  # fmt: skip
    method, path, headers, body = rig.seen[0]
    assert (method, path, body) == ("POST", "/c?q=Ann", '{"email": "ann@example.com"}')
    assert headers["Idempotency-Key"] == "3-1-2"
    assert headers["X-Key"] == "Bearer t0p-s3cret"
    assert headers["Content-Type"] == "application/json"
    assert isinstance(made, Continue)
    assert made.values == {"order": "o-1", "echo": "••••••", "none": None}
    assert made.output["status"] == 201
    assert made.output["note"] == "Not in the answer: none"
    assert "t0p-s3cret" not in str(made)  # S09


@pytest.mark.parametrize(
    ("status", "headers", "unsafe", "safe"),
    [
        (200, {}, Continue, Continue), (422, {}, Failed, Failed), (401, {}, Failed, Failed),
        (429, {"Retry_After": "7"}, Retry, Retry), (503, {"Retry_After": "2"}, Retry, Retry),
        (503, {}, Uncertain, Retry), (500, {}, Uncertain, Retry), (302, {"Location": "/x"}, Failed, Failed),
    ],
)  # fmt: skip
async def test_statuses_are_classed_by_what_may_have_happened(
    rig: Rig, status: int, headers: dict[str, str], unsafe: type, safe: type
) -> None:
    url = rig.answer("/s", status, {"why": "so"}, **headers)
    posted = await perform("http", {"url": url})
    assert type(posted) is unsafe
    assert type(await perform("http", {"url": url, "method": "PUT"})) is safe
    if status == 429:
        assert (posted.after_seconds, posted.pause_host) == (7.0, True)
    if status == 401:
        assert posted.error_type == "configuration"
    if status == 422:
        assert posted.error == "127.0.0.1 answered 422."
        assert posted.output == {"status": 422, "body": '{"why": "so"}'}
        assert posted.error_type == "rejected_request"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": "gone", "message": "'call\nreception' cannot be reached."},
         ": 'call reception' cannot be reached."),
        ({"error": {"message": "no such number"}}, ": no such number."),
        ({"error": {"error": {"error": "deep"}}}, "."), ({"message": 7}, "."), (["x"], "."),
        ({"message": "x" * 500}, f": {'x' * 159}…."),
    ],
)  # fmt: skip
async def test_a_refusal_says_the_receivers_own_reason(rig: Rig, body: Any, said: str) -> None:
    refused = await perform("http", {"url": rig.answer("/no", 422, body)})
    assert refused.error == f"127.0.0.1 answered 422{said}"


async def test_lost_connections_are_uncertain_unless_nothing_was_sent(rig: Rig) -> None:
    """F15, F13"""
    reset = rig.reset("/reset")
    assert isinstance(await perform("http", {"url": reset}), Uncertain)
    assert isinstance(await perform("http", {"url": reset, "repeat": "key"}), Retry)
    assert isinstance(await perform("http", {"url": reset, "method": "PUT"}), Retry)
    assert isinstance(
        await perform("http", {"url": reset, "method": "PUT", "repeat": "ask"}), Uncertain
    )
    hung = await perform("http", {"url": rig.hang("/hang"), "timeout_seconds": 1})
    assert isinstance(hung, Uncertain)
    assert hung.error == "No answer from 127.0.0.1 within 1 s."
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        refused = await perform("http", {"url": f"http://localhost:{port}/"})
    assert isinstance(refused, Retry)
    unknown = await perform("http", {"url": "http://no-such-host.invalid/"})
    assert isinstance(unknown, Retry)
    assert "could not be resolved" in unknown.error


async def test_large_and_packed_answers_are_capped(rig: Rig) -> None:
    big = rig.answer("/big", 200, b"x" * 3_000)
    config = {"url": big, "max_response_kb": 1}
    assert isinstance(await perform("http", config), Continue)
    mapped = config | {"mapping": [{"path": "a", "field": "a"}]}
    assert isinstance(await perform("http", mapped), Uncertain)
    bomb = gzip.compress(b'{"a": "' + b"x" * 5_000_000 + b'"}')
    url = rig.answer("/bomb", 200, bomb, Content_Encoding="gzip")
    assert isinstance(await perform("http", mapped | {"url": url, "method": "GET"}), Retry)
    odd = rig.answer("/odd", 200, '{"a": "\\u0000\\ud800", "b": NaN}')
    mapping = [{"path": "a", "field": "a"}, {"path": "b", "field": "b"}]
    made = await perform("http", {"url": odd, "mapping": mapping})
    assert made.values == {"a": "?", "b": None}
    deep = rig.answer("/deep", 200, "[" * 100_000)
    made = await perform("http", {"url": deep, "mapping": mapping})
    assert made.output["note"].startswith("The answer is not JSON")


async def test_a_checkable_step_looks_it_up(rig: Rig) -> None:
    config = {
        "url": rig.answer("/make"), "repeat": "probe", "probe_url": rig.url + "/find?k={{ key }}",
        "mapping": [{"path": "id", "field": "id"}],
    }  # fmt: skip
    step: Any = compile_step({"name": "s", "kind": "http", "config": config}, secrets={})
    assert step.effect_class == "checkable"
    prepared = step.prepare(StepInput({}, {}, {}, "3-1-2", 9))
    async with Clients() as clients:
        assert await step.probe(prepared, clients) is None
        rig.answer("/find", 200, {"id": 4})
        assert (await step.probe(prepared, clients)).values == {"id": 4}
        rig.answer("/find", 500)
        assert isinstance(await step.probe(prepared, clients), Uncertain)
    assert rig.seen[0][1] == "/find?k=3-1-2"
    assert {seen[0] for seen in rig.seen} == {"GET"}
    rig.answer("/find", 404)
    rig.answer("/make", 500)
    assert isinstance(await perform("http", config), Retry)
    rig.reset("/make")  # it may still be at work, so that "not there" says nothing
    assert isinstance(await perform("http", config), Uncertain)
    rig.answer("/find", 200, {"id": 5})
    assert (await perform("http", config)).values == {"id": 5}


async def test_what_cannot_be_sent_fails_before_it_is(rig: Rig) -> None:
    url = rig.answer("/ok")
    for config, message in [
        ({"url": url, "headers": [{"name": "X", "value": "{{ contact.bad }}"}]}, "line break"),
        ({"url": url, "headers": [{"name": "X", "value": "{{ secrets.GONE }}"}]}, "no secret 'GONE'"),
        ({"url": url, "body_type": "json", "body": "{{ contact.bad }}"}, "not JSON"),
        ({"url": "{{ contact.bad }}"}, "only http and https"),
    ]:  # fmt: skip
        made = await perform("http", config, contact={"bad": "a\r\nX-Evil: 1"})
        assert isinstance(made, Failed)
        assert message in made.error
        assert made.error_type == "configuration"
    assert rig.seen == []


LOOPBACK = [
    "127.0.0.1", "127.1", "127.9.9.9", "0.0.0.0", "localhost", "2130706433", "0x7f000001", "0x7f.1",
    "0177.0.0.1", "017700000001", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]", "127.0.0.1.", "①②⑦.⓪.⓪.①", "spindle.rebind.test",
]  # fmt: skip


@pytest.fixture
async def canary(settings: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """A listener on loopback that must never hear anything; `spindle.rebind.test` resolves first
    to a public address and then to it, as a rebinding name server would answer."""
    answers = ["93.184.215.14"]

    async def getaddrinfo(self: Any, host: str, port: int, **options: Any) -> Any:
        if host == "spindle.rebind.test":
            address = answers.pop() if answers else "127.0.0.1"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
        return await original(self, host, port, **options)

    original = asyncio.base_events.BaseEventLoop.getaddrinfo
    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", getaddrinfo)
    async with open_rig() as opened:
        opened.answer("/")
        settings.HTTP_PORTS = {opened.port, 80, 443}
        settings.INTERNAL_HOSTS = []
        yield opened


async def test_no_spelling_of_an_inside_address_is_connected_to(canary: Rig) -> None:
    """S03"""
    answers_first = await asyncio.get_running_loop().getaddrinfo("spindle.rebind.test", 80)
    assert answers_first[0][4][0] == "93.184.215.14"
    async with Clients() as clients:
        for host in LOOPBACK:
            url = f"http://{host}:{canary.port}/"
            made = await perform("http", {"url": url, "method": "GET", "timeout_seconds": 2})
            assert isinstance(made, (Failed, Retry)), (host, made)
            if "rebind" in host:
                assert made.error.startswith("127.0.0.1 is not a public address")
            try:
                request = HttpRequest("GET", URL(url), timeout_seconds=2)
            except ValueError:
                continue
            with pytest.raises(NotSent):
                await clients.http.send(request)
    assert canary.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "gopher://127.0.0.1:70/_x", "ftp://example.com/", "//example.com",
        "http://user:pass@example.com/", "http://example.com@127.0.0.1/", "http://example.com:22/",
        "http://example.com:6379/", "http:///", "http://", "javascript:alert(1)", "http://[::1", "",
        "dict://127.0.0.1:11211/stats",
    ],
)  # fmt: skip
async def test_other_schemes_ports_and_user_names_are_refused(url: str) -> None:
    """S03"""
    made = await perform("http", {"url": "{{ contact.url }}"}, contact={"url": url})
    assert isinstance(made, Failed)
    assert made.error_type == "configuration"


async def test_redirects_are_checked_hop_by_hop(canary: Rig, settings: Any) -> None:
    """S03: a public server must not be able to send us inside."""
    async with open_rig() as outside:
        settings.INTERNAL_HOSTS = [f"127.0.0.1:{outside.port}"]
        config = {"url": "", "method": "GET", "follow_redirects": True, "timeout_seconds": 2}
        for target in (
            f"http://127.0.0.1:{canary.port}/",
            "http://169.254.169.254/",
            "file:///etc/passwd",
        ):
            url = outside.answer("/go", 302, "", Location=target)
            assert isinstance(await perform("http", config | {"url": url}), Failed)
        assert canary.seen == []
        outside.answer("/end", 200, {"ok": 1})
        url = outside.answer("/go", 307, "", Location="/end")
        assert isinstance(await perform("http", config | {"url": url}), Continue)
        url = outside.answer("/loop", 302, "", Location="/loop")
        assert isinstance(await perform("http", config | {"url": url}), Failed)


def test_addresses_of_the_inside_network_and_metadata() -> None:
    """S03"""
    for inside in (
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::127.0.0.1", "168.63.129.16", "192.0.0.192", "nonsense",
    ):  # fmt: skip
        assert not guard.is_public(inside), inside
    for outside in (
        "93.184.215.14",
        "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
        "64:ff9b::5db8:d70e",
    ):
        assert guard.is_public(outside), outside
    for internal in (True, False):  # an exemption does not open the metadata service
        for address in ("169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"):
            info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))
            with pytest.raises(guard.Blocked):
                guard.open_socket(info, is_internal=internal)


async def test_an_exempt_host_works_by_name_and_port_only(rig: Rig, settings: Any) -> None:
    url = rig.answer("/ok")
    assert isinstance(await perform("http", {"url": url}), Continue)
    settings.INTERNAL_HOSTS = ["127.0.0.1:1"]
    assert isinstance(await perform("http", {"url": url}), Failed)


def test_the_journey_shows_a_masked_request() -> None:
    """S09"""
    config = {
        "url": "https://example.com/?key={{ secrets.KEY }}", "body_type": "form",
        "form": [{"name": "token", "value": "{{ secrets.KEY }}"}, {"name": "n", "value": "ä b"}],
        "headers": [{"name": "Authorization", "value": "{{ secrets.KEY | base64_encode }}"}],
    }  # fmt: skip
    step: Any = compile_step(
        {"name": "s", "kind": "http", "config": config}, secrets={"KEY": "p/q r+s"}
    )
    prepared = step.prepare(StepInput({}, {}, {}, "3-1-2", 9))
    assert isinstance(prepared, Prepared)
    assert prepared.request.body == b"token=p%2Fq+r%2Bs&n=%C3%A4+b"
    assert prepared.shown["body"] == "token=••••••&n=%C3%A4+b"
    assert "p/q" not in str(prepared.shown)
    assert "s" not in prepared.shown["url"].partition("key=")[2]
    assert step.shown_headers(prepared.request)["Authorization"] == "••••••"


def test_causes_keep_who_answered_and_what() -> None:
    cause = normalise_cause("127.0.0.1 answered 422: 'x@y.example' was seen 3 times.")
    assert cause == "127.0.0.1 answered 422: … was seen … times."
