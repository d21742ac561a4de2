"""What a worker process shares among effects: one HTTP client with a keep-alive pool, SMTP.

    async with Clients() as clients:
        result = await step.perform(prepared, clients)

One per event loop. An exception says what may have left the machine: NotSent (DNS, connect, TLS,
refused address) or MaybeSent (time-out or reset afterwards).
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self

import aiohttp
from yarl import URL

from jobs.steps import guard

if TYPE_CHECKING:
    from jobs.steps.smtp import SmtpClient

USER_AGENT = "Spindle"
MAX_REDIRECTS = 5
CONNECT_SECONDS = 10.0
# Shorter than the usual 5 s of servers: a connection the server is about to close is not reused.
KEEPALIVE_SECONDS = 4.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})
SKIPPED = frozenset({"User-Agent", "Accept", "Accept-Encoding", "Content-Type"})


class EffectError(Exception):
    """`error_type` is a key of the error catalogue (SPEC section 10)."""

    def __init__(self, message: str, error_type: str = "provider_error"):
        super().__init__(message)
        self.error_type = error_type


class NotSent(EffectError):
    """Nothing that acts has left the machine; `is_final`: trying again would not help."""

    def __init__(self, message: str, error_type: str = "provider_error", *, is_final: bool = False):
        super().__init__(message, error_type)
        self.is_final = is_final


class MaybeSent(EffectError):
    """The request may have arrived; `is_timeout` tells waiting too long from a lost connection."""

    def __init__(self, message: str, *, is_timeout: bool = False):
        super().__init__(message, "uncertain_effect")
        self.is_timeout = is_timeout


@dataclass(slots=True)
class HttpRequest:
    method: str
    url: URL
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout_seconds: float = 30.0
    max_bytes: int = 256 * 1024
    follows_redirects: bool = False
    # Where a checkable step looks up what became of the request.
    probe_url: URL | None = None


@dataclass(slots=True)
class HttpAnswer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    is_truncated: bool = False

    def text(self) -> str:
        return self.body.decode("utf-8", "replace").replace("\0", "")


class HttpClient:
    """Two pools: for public addresses, checked at every connect, and for exempt internal hosts."""

    def __init__(self) -> None:
        self._public = _session(is_internal=False)
        self._internal = _session(is_internal=True)
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._checked: dict[tuple[str, str], aiohttp.ClientSession] = {}

    async def close(self) -> None:
        await self._public.close()
        await self._internal.close()

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """The answer, whatever its status; raises NotSent or MaybeSent."""
        method, url, body = request.method, request.url, request.body
        headers: Mapping[str, str] = request.headers
        hop = 0
        while True:
            try:
                answer = await self._send_once(method, url, headers, body, request)
            except NotSent as error:
                # The first server has the request already, wherever it pointed us to.
                if hop and request.method not in ("GET", "HEAD"):
                    raise MaybeSent(f"after a redirect, {error}") from None
                raise
            location = answer.headers.get("Location")
            if not (request.follows_redirects and location and answer.status in REDIRECTS):
                return answer
            hop += 1
            if hop > MAX_REDIRECTS:
                return answer
            target = _joined(url, location)
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = "GET", None
            if (target.scheme, target.authority) != (url.scheme, url.authority):
                headers = {}  # secrets in headers are for the first host only
            url = target

    async def _send_once(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None,
        request: HttpRequest,
    ) -> HttpAnswer:  # fmt: skip
        try:
            session = self._session_for(url)
        except guard.Blocked as error:
            raise NotSent(str(error), "configuration", is_final=True) from None
        timeout = self._timeout(request.timeout_seconds)
        try:
            async with session.request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return await _answer(response, request.max_bytes)
        except aiohttp.ClientError as error:
            raise _classed(error, url) from None
        except TimeoutError:
            message = f"no answer from {url.host} within {request.timeout_seconds:g} s"
            raise MaybeSent(message, is_timeout=True) from None
        except (OSError, ValueError, zlib.error) as error:
            raise MaybeSent(f"{url.host}: {error}") from None

    def _session_for(self, url: URL) -> aiohttp.ClientSession:
        """The pool for a URL's server, remembered; raises Blocked, each time anew."""
        server = (url.scheme, url.raw_authority)
        session = self._checked.get(server)
        if session is None:
            session = self._internal if guard.check_url(url) else self._public
            if len(self._checked) >= 1_000:
                self._checked.clear()
            self._checked[server] = session
        return session

    def _timeout(self, seconds: float) -> aiohttp.ClientTimeout:
        found = self._timeouts.get(seconds)
        if found is None:
            # `connect` (waiting for a place in the pool included) ends before `total`, so that a
            # total time-out always means that the request had left.
            connect = min(CONNECT_SECONDS, seconds * 0.8)
            found = aiohttp.ClientTimeout(total=seconds, connect=connect)
            self._timeouts[seconds] = found
        return found


def _session(*, is_internal: bool) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=1_000,
        keepalive_timeout=KEEPALIVE_SECONDS,
        ttl_dns_cache=30,
        socket_factory=partial(guard.open_socket, is_internal=is_internal),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        skip_auto_headers=SKIPPED,
        requote_redirect_url=False,
    )


async def _answer(response: aiohttp.ClientResponse, max_bytes: int) -> HttpAnswer:
    length = response.content_length
    if length is not None and length <= max_bytes:
        body, is_truncated = await response.read(), False
    else:
        body, is_truncated = await _read_capped(response.content, max_bytes)
    encoding = response.headers.get("Content-Encoding", "").lower()
    if encoding in ("gzip", "deflate") and body:
        body, is_more = _unpacked(body, encoding, max_bytes)
        is_truncated = is_truncated or is_more
    return HttpAnswer(response.status, response.headers, body, is_truncated)


async def _read_capped(content: aiohttp.StreamReader, max_bytes: int) -> tuple[bytes, bool]:
    read = bytearray()
    while chunk := await content.readany():
        read += chunk
        if len(read) > max_bytes:
            return bytes(read[:max_bytes]), True
    return bytes(read), False


def _unpacked(body: bytes, encoding: str, max_bytes: int) -> tuple[bytes, bool]:
    """Decompressed, but never beyond `max_bytes`."""
    unpacker = zlib.decompressobj(wbits=31 if encoding == "gzip" else 15)
    text = unpacker.decompress(body, max_bytes)
    return text, bool(unpacker.unconsumed_tail)


def _joined(url: URL, location: str) -> URL:
    """Where a redirect leads; an address that cannot be read is refused like a forbidden one."""
    try:
        return url.join(URL(location))
    except ValueError:
        return URL("unreadable:")


def _classed(error: aiohttp.ClientError, url: URL) -> EffectError:
    """What a client error says about what left the machine."""
    host = url.host
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, guard.Blocked) or "not a public address" in str(error):
            return NotSent(str(error.os_error), "configuration", is_final=True)
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return NotSent(f"the name {host} could not be resolved ({error.os_error})")
        if isinstance(error, aiohttp.ClientSSLError):
            return NotSent(f"no secure connection to {host} ({error.os_error})")
        return NotSent(f"no connection to {host}:{url.port} ({error.os_error})")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return NotSent(f"{host}'s certificate is not trusted ({error})", "configuration")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return NotSent(f"no connection to {host}:{url.port} in time")
    if isinstance(error, aiohttp.ServerTimeoutError):
        return MaybeSent(f"no answer from {host} in time", is_timeout=True)
    if isinstance(error, aiohttp.InvalidURL):
        return NotSent(f"the address {url} is not valid", "configuration", is_final=True)
    return MaybeSent(f"the connection to {host} broke ({error or type(error).__name__})")


class Clients:
    """Opened once by a worker's event loop, closed with it."""

    http: HttpClient
    smtp: "SmtpClient"

    async def __aenter__(self) -> Self:
        from jobs.steps.smtp import SmtpClient  # it needs this module's exceptions

        self.http, self.smtp = HttpClient(), SmtpClient()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()
        await self.smtp.close()
