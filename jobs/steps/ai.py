"""The `ai` step: one call of a chat model, by the Anthropic or the OpenAI format.

The answer is data: cut to a size, kept as a value, shown escaped; there are no tools, and no
secret stands in the prompt. A call that may have arrived is repeated unless the step says
otherwise: it changes nothing outside but the bill.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from django.conf import settings
from yarl import URL

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
from jobs.steps.http import retry_after
from jobs.steps.names import Names
from jobs.steps.values import excerpt, parse_json, storable
from projects.secrets import Masker
from projects.steps.message_kinds import AI
from projects.templating import TemplateProblem, compile_template

ENDPOINTS = {
    "anthropic": "https://api.anthropic.com/v1/messages",
    "openai": "https://api.openai.com/v1/chat/completions",
}
MAX_REPLY = 64 * 1024  # characters kept
NO_CREDITS = re.compile(
    r"credit balance|insufficient[_ ](quota|credit|funds|balance)|exceeded your current quota"
    r"|billing[_ ](hard[_ ])?limit|payment required",
    re.IGNORECASE,
)
FENCED = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n\s*```\s*$", re.DOTALL)


class AiStep:
    is_effect: ClassVar[bool] = True

    def __init__(self, config: dict[str, Any], secrets: Mapping[str, str], effort: str):
        get = lambda name: AI.get(config, name)  # noqa: E731
        self.provider: str = get("provider")
        self.effect_class: EffectClass = "safe" if get("repeat") == "repeat" else "unsafe"
        self.max_attempts = int(get("max_attempts"))
        self.timeout_seconds = float(get("timeout_seconds"))
        self.keeps_time = False
        self.concurrency = int(get("concurrency"))
        self.url = URL(get("endpoint") or ENDPOINTS[self.provider])
        effort = effort if effort in ("max", "high", "medium") else "high"
        self.model = get(f"model_{effort}") or settings.AI_MODELS[self.provider][effort]
        self.max_tokens = int(get("max_tokens"))
        self.temperature = get("temperature")
        self.field: str = get("field")
        self.is_json = get("reply") == "json"
        self.system = compile_template(get("system") or "")
        self.prompt = compile_template(config["prompt"])
        self.names = Names([self.system, self.prompt])
        self.key_name: str = get("api_key") or ""
        self.api_key = secrets.get(self.key_name, "")
        self.masker = Masker({"key": self.api_key})

    def prepare(self, record: StepInput) -> Prepared | Failed:
        if self.key_name and not self.api_key:
            return Failed(
                f"There is no secret {self.key_name!r} (or it cannot be decrypted). "
                "An admin sets it under Settings, Secrets.", "configuration",
            )  # fmt: skip
        names = self.names.of(record)
        try:
            system, prompt = self.system.render(names), self.prompt.render(names)
            guard.check_url(self.url)
        except TemplateProblem as problem:
            return Failed(f"The prompt failed to build: {problem}.", "configuration")
        except guard.Blocked as problem:
            return Failed(f"The call cannot be made: {problem}.", "configuration")
        request = HttpRequest(
            "POST", self.url, self._headers(record.key),
            json.dumps(self._payload(system, prompt), ensure_ascii=False).encode(),
            self.timeout_seconds, max_bytes=1024 * 1024,
        )  # fmt: skip
        shown = {"model": self.model, "prompt": excerpt(self.masker.text(prompt))}
        if system:
            shown["system"] = excerpt(self.masker.text(system), 300)
        return Prepared(host=self.url.authority, request=request, shown=shown, key=record.key)

    def _headers(self, key: str) -> dict[str, str]:
        headers = {
            "User-Agent": USER_AGENT, "Content-Type": "application/json",
            "Accept": "application/json", "Idempotency-Key": key,
        }  # fmt: skip
        if self.provider == "anthropic":
            headers["anthropic-version"] = "2023-06-01"
            if self.api_key:
                headers["x-api-key"] = self.api_key
        elif self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        return headers

    def _payload(self, system: str, prompt: str) -> dict[str, Any]:
        payload: dict[str, Any] = {"model": self.model}
        messages = [{"role": "user", "content": prompt}]
        if self.provider == "anthropic":
            payload["max_tokens"] = self.max_tokens
            if system:
                payload["system"] = system
        else:
            payload["max_completion_tokens"] = self.max_tokens
            if system:
                messages.insert(0, {"role": "system", "content": system})
        if self.temperature is not None:
            payload["temperature"] = self.temperature
        payload["messages"] = messages
        return payload

    async def perform(self, prepared: Prepared, clients: Clients) -> EffectResult:
        try:
            answer = await clients.http.send(prepared.request)
        except NotSent as error:
            text = f"The model's server was not reached: {self.masker.text(str(error))}."
            return (
                Failed(text, error.error_type) if error.is_final else Retry(text, error.error_type)
            )
        except MaybeSent as error:
            text = self.masker.text(str(error))
            if error.is_timeout:
                return self._maybe(f"The model took too long: {text}.", "llm_timeout")
            return self._maybe(f"The call broke off: {text}.", "provider_error")
        return self._good(answer) if answer.status == 200 else self._bad(answer)

    async def probe(self, prepared: Prepared, clients: Clients) -> EffectResult | None:
        return Uncertain("A model call cannot be looked up.")

    def _maybe(self, text: str, error_type: str) -> EffectResult:
        if self.effect_class == "safe":
            return Retry(text, error_type)
        return Uncertain(text)

    def _good(self, answer: HttpAnswer) -> EffectResult:
        try:
            reply = parse_json(answer.text())
            text = self._text_of(reply)
        except (ValueError, LookupError, TypeError, AttributeError):
            return self._maybe("The model's answer does not have the format of "
                               f"{self.provider}.", "provider_error")  # fmt: skip
        text = self.masker.text(storable(text))
        output: dict[str, Any] = {"model": self.model, "text": excerpt(text)}
        usage = reply.get("usage")
        if isinstance(usage, dict):
            output["tokens"] = {k: v for k, v in usage.items() if isinstance(v, int)}
        if len(text) > MAX_REPLY:
            output["note"] = f"Cut to {MAX_REPLY:,} characters."
            text = text[:MAX_REPLY]
        if not self.is_json:
            return Continue({self.field: text}, output)
        fenced = FENCED.match(text)
        try:
            return Continue({self.field: parse_json(fenced[1] if fenced else text)}, output)
        except ValueError:
            return self._maybe("The model did not answer with JSON.", "provider_error")

    def _text_of(self, reply: Any) -> str:
        if self.provider == "anthropic":
            return "".join(b["text"] for b in reply["content"] if b.get("type") == "text")
        return str(reply["choices"][0]["message"]["content"] or "")

    def _bad(self, answer: HttpAnswer) -> EffectResult:
        status = answer.status
        body = self.masker.text(answer.text())
        output = {"status": status, "body": excerpt(body)}
        said = f"The model's server answered {status}: {_message(body)}"
        pause = retry_after(answer.headers)
        if status == 402 or (status in (400, 403, 429) and NO_CREDITS.search(body[:5_000])):
            return Failed(said, "insufficient_credits", output)
        if status == 429:
            return Retry(said, "provider_error", pause, pause_host=True, output=output)
        if status in (503, 529):  # overloaded: turned away before any work
            return Retry(said, "provider_error", pause, output=output)
        if status in (408, 504):
            return self._maybe(said, "llm_timeout")
        if status >= 500:
            return self._maybe(said, "provider_error")
        is_setting = status in (401, 403, 404, 405) or 300 <= status <= 399
        return Failed(said, "configuration" if is_setting else "provider_error", output)


def _message(body: str) -> str:
    """The provider's own words, out of its JSON if it is JSON."""
    try:
        found = parse_json(body)["error"]
        text = found["message"] if isinstance(found, dict) else found
    except (ValueError, LookupError, TypeError):
        text = body
    return excerpt(" ".join(str(text).split()), 300) or "nothing more"
