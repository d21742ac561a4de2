"""The `http` step: one request a record, and what its answer means."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from yarl import URL

from jobs import clock
from jobs.steps import guard
from jobs.steps.base import (
    Clients,
    Continue,
    EffectClass,
    EffectResult,
    Failed,
    Prepared,
    Retry,
    StepInput,
    Uncertain,
)
from jobs.steps.clients import USER_AGENT, HttpAnswer, HttpRequest, MaybeSent, NotSent
from jobs.steps.names import Names
from jobs.steps.values import MAX_KEPT, at_path, compile_path, excerpt, parse_json
from projects.secrets import MASK, Masker
from projects.steps import kinds
from projects.steps.json_body import JsonTemplate
from projects.steps.statuses import parse_statuses
from projects.templating import Template, TemplateProblem, compile_template

MAX_BODY = 1024 * 1024
LONGEST_PAUSE = 3_600.0
MAX_REASON = 160
REASON_KEYS = ("message", "detail", "error_description", "title", "error")
CONTENT_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
}
Render = Callable[[Mapping[str, Any]], str]


class HttpStep:
    """Class *safe*, *checkable* or *unsafe* by method and declaration (kinds.HTTP, `repeat`)."""

    is_effect: ClassVar[bool] = True

    def __init__(self, config: dict[str, Any], secrets: Mapping[str, str]):
        spec = kinds.HTTP
        get = lambda name: spec.get(config, name)  # noqa: E731  # three letters instead of many
        self.method: str = get("method")
        self.effect_class: EffectClass = kinds.effect_class_of_http(config)  # type: ignore[assignment]
        self.max_attempts = int(get("max_attempts"))
        self.timeout_seconds = float(get("timeout_seconds"))
        self.concurrency = int(get("concurrency"))
        self.expected = parse_statuses(get("expected_statuses") or "200-299")
        self.max_bytes = int(get("max_response_kb") * 1024)
        self.follows_redirects = bool(get("follow_redirects"))
        # One request, with the client's own limit; redirects and look-ups are several.
        self.keeps_time = not self.follows_redirects and self.effect_class != "checkable"
        self.mapping = [
            (compile_path(row["path"]), row["field"], row["path"])
            for row in config.get("mapping") or []
        ]
        self._templates: list[Template] = []
        self._url = self._compiled(config["url"])
        self._last_url: tuple[str, URL] | None = None  # parsed and checked
        self._probe_url = self._compiled(config["probe_url"]) if get("repeat") == "probe" else None
        self._headers = [
            (row["name"], self._compiled(row.get("value", "")))
            for row in config.get("headers") or []
        ]
        body_type = get("body_type") if self.method not in ("GET", "HEAD") else "none"
        self._body = self._body_renderer(body_type, config)
        self._fixed_headers = {"User-Agent": USER_AGENT, "Accept": "*/*"}
        if body_type != "none":
            self._fixed_headers["Content-Type"] = CONTENT_TYPES[body_type]
        self.names = Names(self._templates, dict(secrets))
        self.masker = Masker(self.names.secrets)
        self._absent_secrets = sorted(
            path[1]
            for template in self._templates
            for path in template.paths
            if path[0] == "secrets" and len(path) == 2 and path[1] not in secrets
        )

    def _compiled(self, source: Any) -> Template:
        template = compile_template(str(source))
        self._templates.append(template)
        return template

    def _body_renderer(self, body_type: str, config: dict[str, Any]) -> Render | None:
        if body_type == "json":
            body = JsonTemplate(config.get("body") or "{}")
            self._templates.extend(body.templates)
            return body.render
        if body_type == "text":
            return self._compiled(config.get("body", "")).render
        if body_type == "form":
            pairs = [
                (row["name"], self._compiled(row.get("value", "")))
                for row in config.get("form") or []
            ]
            return lambda names: urlencode([(name, t.render(names)) for name, t in pairs])
        return None

    def prepare(self, record: StepInput) -> Prepared | Failed:
        if self._absent_secrets:
            return Failed(
                f"There is no secret {self._absent_secrets[0]!r} (or it cannot be decrypted). "
                "An admin sets it under Settings, Secrets.", "configuration",
            )  # fmt: skip
        names = self.names.of(record)
        try:
            address = self._url.render(names).strip()
            request = self._request(names, address, record.key)
        except TemplateProblem as problem:
            return Failed(self.masker.text(f"The request failed to build: {problem}."),
                          "configuration")  # fmt: skip
        except (guard.Blocked, ValueError) as problem:
            text = self.masker.text(excerpt(str(problem), 300))
            return Failed(f"The request cannot be sent: {text}", "configuration")
        shown = self._shown(request, address)
        return Prepared(host=request.url.authority, request=request, shown=shown, key=record.key)

    def _request(self, names: Mapping[str, Any], address: str, key: str) -> HttpRequest:
        url = self._parsed(address)
        headers = self._fixed_headers.copy()
        for name, template in self._headers:
            value = template.render(names)
            if not value.isprintable():
                raise ValueError(f"the header {name} holds a line break or control character")
            _replace(headers, name, value)
        headers["Idempotency-Key"] = key
        body = None
        if self._body is not None:
            body = self._body(names).encode()
            if len(body) > MAX_BODY:
                raise ValueError(f"the body is larger than {MAX_BODY // 1024} KB")
        probe = None
        if self._probe_url is not None:
            probe = URL(self._probe_url.render(names).strip())
            guard.check_url(probe)
        return HttpRequest(
            self.method, url, headers, body, self.timeout_seconds, self.max_bytes,
            self.follows_redirects, probe,
        )  # fmt: skip

    def _parsed(self, address: str) -> URL:
        """The checked URL; most steps send every record to the same one."""
        if self._last_url and self._last_url[0] == address:
            return self._last_url[1]
        url = URL(address)
        guard.check_url(url)
        self._last_url = (address, url)
        return url

    def _shown(self, request: HttpRequest, address: str) -> dict[str, Any]:
        """Method, address (as written: a parsed one spells secrets in yet other ways) and an
        excerpt of the body; headers only where a dry run asks."""
        shown: dict[str, Any] = {
            "method": request.method, "url": excerpt(self.masker.text(address)),
        }  # fmt: skip
        if request.body:
            # Masked whole before it is cut, so that no half of a secret stays.
            shown["body"] = excerpt(self.masker.text(request.body.decode()))
        return shown

    def shown_headers(self, request: HttpRequest) -> dict[str, str]:
        """For a dry run: headers made from secrets are masked whole."""
        hidden = {name.lower() for name, template in self._headers if template.reads("secrets")}
        return {
            name: MASK if name.lower() in hidden else self.masker.text(value)
            for name, value in request.headers.items()
        }

    async def perform(self, prepared: Prepared, clients: Clients) -> EffectResult:
        request: HttpRequest = prepared.request
        try:
            answer = await clients.http.send(request)
        except NotSent as error:
            return self._not_sent(error)
        except MaybeSent as error:
            result, is_over = self._maybe(self._sentence(str(error))), False
        else:
            result, is_over = self.result_of(answer, request.url.host or "The server"), True
        if self.effect_class == "checkable" and isinstance(result, Uncertain):
            return await self._looked_up(result, prepared, clients, is_over=is_over)
        return result

    async def _looked_up(
        self, result: Uncertain, prepared: Prepared, clients: Clients, *, is_over: bool
    ) -> EffectResult:
        """Ask at once. "Not there" counts only when the receiver has finished with the request
        (it answered): after a time-out it may still be at work."""
        found = await self.probe(prepared, clients)
        if found is None and is_over:
            text = f"{result.error.rstrip('.')}, but the look-up says that it did not happen."
            return Retry(text, output=result.output)
        return found if isinstance(found, Continue) else result

    async def probe(self, prepared: Prepared, clients: Clients) -> EffectResult | None:
        """Ask the look-up URL: a good answer means done, 404 or 410 not done; else undecided."""
        request: HttpRequest = prepared.request
        if request.probe_url is None:
            return Uncertain("There is no look-up URL to ask.")
        look_up = HttpRequest(
            "GET", request.probe_url,
            {k: v for k, v in request.headers.items()
             if k.lower() not in ("content-type", "idempotency-key")},
            None, self.timeout_seconds, self.max_bytes,
        )  # fmt: skip
        try:
            answer = await clients.http.send(look_up)
        except (NotSent, MaybeSent) as error:
            return Uncertain(f"The look-up failed: {self._sentence(str(error))}")
        if answer.status in (404, 410):
            return None
        if 200 <= answer.status <= 299:
            return self._good(answer)
        return Uncertain(f"The look-up answered {answer.status}.", output=self._output(answer))

    def result_of(self, answer: HttpAnswer, host: str) -> EffectResult:
        status = answer.status
        if status in self.expected:
            if answer.is_truncated and self.mapping:
                text = f"{host}'s answer is larger than {self.max_bytes // 1024} KB"
                return self._after(text, self._output(answer))
            return self._good(answer)
        output = self._output(answer)
        said = f"{host} answered {status}{self._reason(answer)}"
        pause = retry_after(answer.headers)
        if status == 429 or (status == 503 and pause is not None):
            return Retry(f"{said}.", after_seconds=pause, pause_host=status == 429, output=output)
        if status >= 500 or status < 300:
            return self._after(said, output)
        if status < 400:
            target = "redirects are not followed" if not self.follows_redirects else "too many"
            return Failed(f"{said}: {target}.", "configuration", output)
        if status == 408 and self.effect_class == "safe":
            return Retry(f"{said}.", output=output)
        error_type = {401: "configuration", 402: "insufficient_credits", 403: "configuration",
                      404: "configuration", 407: "configuration"}  # fmt: skip
        return Failed(f"{said}.", error_type.get(status, "rejected_request"), output)

    def _reason(self, answer: HttpAnswer) -> str:
        """The receiver's own sentence, if its JSON has one where such answers have it."""
        try:
            tree = parse_json(answer.text())
        except ValueError:
            return ""
        for _ in range(2):  # {"error": {"message": "…"}} too
            if not isinstance(tree, dict):
                return ""
            found = next((tree[key] for key in REASON_KEYS if tree.get(key)), None)
            if isinstance(found, str):
                line = " ".join(self.masker.text(found).split()).rstrip(".")
                return f": {excerpt(line, MAX_REASON)}" if line else ""
            tree = found
        return ""

    def _good(self, answer: HttpAnswer) -> EffectResult:
        output = self._output(answer)
        if not self.mapping:
            return Continue({}, output)
        try:
            tree = parse_json(answer.text())
        except ValueError:
            tree = None
            output["note"] = "The answer is not JSON; nothing was kept from it."
        kept: dict[str, Any] = {}
        absent: list[str] = []
        for path, field, words in self.mapping:
            is_there, value = at_path(tree, path)
            if not is_there:
                absent.append(words)
            elif len(json.dumps(value)) > MAX_KEPT:
                absent.append(f"{words} (larger than {MAX_KEPT // 1024} KB)")
                value = None
            kept[field] = self.masker.tree(value)
        if absent and tree is not None:
            output["note"] = "Not in the answer: " + ", ".join(absent)
        return Continue(kept, output)

    def _output(self, answer: HttpAnswer) -> dict[str, Any]:
        output: dict[str, Any] = {"status": answer.status}
        if answer.body:
            output["body"] = excerpt(self.masker.text(answer.text()))
        return output

    def _not_sent(self, error: NotSent) -> EffectResult:
        text = self._sentence(str(error))
        return Failed(text, error.error_type) if error.is_final else Retry(text, error.error_type)

    def _maybe(self, text: str) -> EffectResult:
        return Retry(text) if self.effect_class == "safe" else Uncertain(text)

    def _after(self, said: str, output: dict[str, Any]) -> EffectResult:
        """An answer came, but it does not say that all is well."""
        if self.effect_class == "safe":
            return Retry(f"{said}.", output=output)
        return Uncertain(f"{said}; the request may have taken effect.", output=output)

    def _sentence(self, text: str) -> str:
        text = self.masker.text(excerpt(text, 500))
        return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the receiver asks to wait (number or date), at most an hour; None when it does not.

    A date is by the receiver's clock, which its answer tells.
    """
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isdigit():
        return min(float(text[:9]), LONGEST_PAUSE)
    moment = _moment(text)
    if moment is None:
        return None
    now = _moment(headers.get("Date", "")) or clock.now()
    return min(max((moment - now).total_seconds(), 0.0), LONGEST_PAUSE)


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _replace(headers: dict[str, str], name: str, value: str) -> None:
    for present in [key for key in headers if key.lower() == name.lower()]:
        del headers[present]
    headers[name] = value
