"""What is done with any endpoint: connect, ask again what may pass, and say what went wrong."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from openzaya.errors import EngineError

PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
"""Statuses after which the same request may succeed."""
FINAL = re.compile(r"invalid|unsupported|not_found|context|authentication|permission|quota|billing")
"""In an error's code or type: it will not pass, whatever its status."""
LONGEST_WAIT = 60.0
"""Seconds; an endpoint that asks for more is asked again nevertheless."""
CONNECT_SECONDS = 10.0
SHOWN = 300
"""Characters of an endpoint's own words in an error."""

T = TypeVar("T")


class Passing(Exception):
    """A failure that may pass. `wait`: seconds that the endpoint asked for."""

    def __init__(self, trouble: str, wait: float | None = None) -> None:
        super().__init__(trouble)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one request is pursued: attempts, seconds for each, seconds before the second."""

    attempts: int = 6
    timeout: float = 3600.0
    first_wait: float = 1.0


def connect(key: str | None, concurrency: int) -> httpx.AsyncClient:
    """A pool of kept connections. Its user bounds the time of whole requests."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
    return httpx.AsyncClient(headers=headers, limits=limits, timeout=timeout)


def base_url(url: str) -> str:
    """`url` without a slash at its end; EngineError for what is no address."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise EngineError(f"{url!r} is no endpoint", "write it as in http://localhost:8000/v1")
    return url.rstrip("/")


def shown(url: str) -> str:
    """`url` for messages: a password in it is nobody's business."""
    return re.sub(r"//[^/@]*@", "//", url)


async def persist(ask: Callable[[], Awaitable[T]], patience: Patience, url: str) -> T:
    """The result of `ask`, which is tried again while it raises what may pass."""
    wait, trouble = patience.first_wait, ""
    for attempt in range(patience.attempts):
        if attempt:
            # Spread, so that those who were refused together do not come back together.
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))
        asked = None
        try:
            async with asyncio.timeout(patience.timeout):
                return await ask()
        except TimeoutError:
            trouble = f"no answer within {patience.timeout:g} s"
        except Passing as error:
            trouble, asked = str(error), error.wait
        except httpx.RequestError as error:
            trouble = str(error) or type(error).__name__
        wait = min(LONGEST_WAIT, max(asked or 0.0, patience.first_wait * 2**attempt))
    times = "once" if patience.attempts == 1 else f"{patience.attempts} times"
    raise EngineError(
        f"{shown(url)}: {trouble} (asked {times})",
        "see that the endpoint runs and is not overloaded; sampler.timeout and sampler.attempts "
        "say how long to insist",
    )


def retry_after(response: httpx.Response) -> float | None:
    """Seconds that the header asks for, given as seconds or as a date."""
    text = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (date.astimezone(UTC) - datetime.now(UTC)).total_seconds())


@dataclass(frozen=True, slots=True)
class Complaint:
    """An endpoint's error object, whichever of the usual forms it has."""

    message: str
    kind: str = ""
    """Its code and its type."""
    param: str = ""

    @property
    def final(self) -> bool:
        status = re.search(r"\b[45]\d\d\b", self.kind)
        if status is not None and int(status[0]) not in PASSING:
            return True
        return FINAL.search(self.kind) is not None


def complaint(table: Any) -> Complaint | None:
    """The error in `table`; None if there is none."""
    if not isinstance(table, dict):
        return None
    error = table.get("error")
    if error is None and (table.get("object") == "error" or "detail" in table):
        error = table.get("detail", table)
    if error is None or error == {}:
        return None
    if isinstance(error, dict):
        kind = f"{error.get('code')} {error.get('type')}"
        return Complaint(str(error.get("message", error)), kind, str(error.get("param") or ""))
    return Complaint(str(error))


def refuse(status: int, text: str, url: str, fields: Iterable[str] = ()) -> EngineError:
    """The error for an answer that will not change. `fields`: those that could be left out."""
    found = complaint(parsed(text)) or Complaint(text.strip())
    said = re.sub(r"\s+", " ", found.message)[:SHOWN]
    if status in (401, 403):
        hint = "put its key into the variable that sampler.key_variable names (OPENAI_API_KEY)"
    elif re.search(r"context|max_model_len|too long|too many tokens", said, re.IGNORECASE):
        hint = "lower the budget, the tail or the number of candidates: the window is too short"
    elif (name := _named(found, said, fields)) is not None:
        hint = (
            f"sampler.extra.{name}=none leaves {name} out, sampler.fields=openai sends OpenAI's "
            "own fields alone"
        )
    else:
        hint = "check the name of the model, and that the URL ends as in .../v1"
    return EngineError(f"{shown(url)} refuses: {status} {said}", hint)


def _named(found: Complaint, said: str, fields: Iterable[str]) -> str | None:
    """The field of ours that the complaint is about."""
    known = list(fields)
    if found.param in known:
        return found.param
    return next((f for f in known if re.search(rf"\b{re.escape(f)}\b", said)), None)


def check_status(response: httpx.Response, text: str, url: str, fields: Iterable[str] = ()) -> None:
    """Passing or EngineError, unless the status is 200."""
    status = response.status_code
    if status == 200:
        return
    found = complaint(parsed(text))
    # A 500 whose body blames the request is still a fault of the server's.
    quota = found is not None and status == 429 and found.final
    if status in PASSING and not quota:
        words = re.sub(r"\s+", " ", found.message if found else text)[:SHOWN]
        raise Passing(f"{status} {words}", retry_after(response))
    raise refuse(status, text, url, fields)


@dataclass(frozen=True, slots=True)
class Served:
    """A model of an endpoint. `context_length` (None: unknown) holds prompt and answer."""

    name: str
    context_length: int | None


async def served(client: httpx.AsyncClient, url: str) -> list[Served]:
    """What /models lists; an endpoint without that route lists nothing.

    EngineError at once when nobody is there or the key is wrong: no token was asked for yet.
    """

    async def ask() -> list[Served]:
        response = await client.get(f"{url}/models")
        if response.status_code in (401, 403):
            raise refuse(response.status_code, response.text, url)
        table = parsed(response.text) if response.status_code == 200 else None
        rows = table.get("data") if isinstance(table, dict) else None
        return [
            Served(row["id"], _window(row))
            for row in (rows if isinstance(rows, list) else [])
            if isinstance(row, dict) and isinstance(row.get("id"), str) and not _preset(row)
        ]

    return await persist(ask, Patience(1, CONNECT_SECONDS), url)


def _preset(row: dict[str, Any]) -> bool:
    """Whether it is one of our server's presets, which stand beside their model in the list."""
    return row["id"].startswith(f"{row.get('parent')}:rsa")


def _window(row: dict[str, Any]) -> int | None:
    """vLLM, SGLang and we say max_model_len, llama.cpp meta.n_ctx, routers context_length."""
    meta = row.get("meta")
    told = (
        row.get("max_model_len"),
        meta.get("n_ctx") if isinstance(meta, dict) else None,
        row.get("context_length"),
    )
    return next((n for n in told if type(n) is int and n > 0), None)


def parsed(text: str) -> Any:
    """`text` as JSON, or None."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
