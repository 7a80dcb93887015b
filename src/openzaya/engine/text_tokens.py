"""Tokens of a text that came without them: from a tokenizer here, or from the endpoint's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import tokenizers

from openzaya.chat import END_THINK, IM_END, THINK
from openzaya.engine.endpoint import Patience, check_status, parsed, persist, shown
from openzaya.errors import CheckpointError, EngineError
from openzaya.tokenizer import TOKENIZER_FILE
from openzaya.types import ThinkIds

NO_THINK = ThinkIds(-1, -2, -3)
"""Marks between reasoning, answer and end where the tokenizer has none; no text has such ids."""
PROBES = ("Is 2 + 3 = 5?\n\tyes, naïve café 😀", "2 + 3", "a")
"""A tiny model's tokenizer cannot spell the first."""


class TextTokens(Protocol):
    """`decode(encode(text)) == text`; neither adds special tokens."""

    think_ids: ThinkIds

    async def encode(self, text: str) -> list[int]: ...

    async def decode(self, ids: Sequence[int]) -> str: ...


class LocalTokens:
    """By a tokenizer in this process, of any kind."""

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        self._inner = inner
        found = [inner.token_to_id(token) for token in (THINK, END_THINK, IM_END)]
        self.think_ids = ThinkIds(*(-n if i is None else i for n, i in enumerate(found, 1)))

    @classmethod
    def load(cls, path: str) -> LocalTokens:
        """`path`: tokenizer.json, or a folder that holds one."""
        file = Path(path) / TOKENIZER_FILE if Path(path).is_dir() else Path(path)
        if not file.is_file():
            raise CheckpointError(
                f"no tokenizer at {path}", f"name a {TOKENIZER_FILE}, or a folder that holds one"
            )
        try:
            return cls(tokenizers.Tokenizer.from_file(str(file)))
        except Exception as error:  # the Rust parser raises nothing narrower
            raise CheckpointError(
                f"{file} is not a tokenizer: {error}", "give the model's own tokenizer.json"
            ) from error

    async def encode(self, text: str) -> list[int]:
        try:
            return self._inner.encode(text, add_special_tokens=False).ids
        except Exception as error:  # the Rust encoder raises nothing narrower
            raise EngineError(
                f"the tokenizer cannot spell what the endpoint wrote: {error}",
                "give the model's own tokenizer.json",
            ) from error

    async def decode(self, ids: Sequence[int], skip_special: bool = True) -> str:
        return self._inner.decode([i for i in ids if i >= 0], skip_special_tokens=skip_special)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a family of servers wants a text: the field's name, and what else goes with it."""

    text: str
    more: dict[str, Any]
    model: bool = True


DIALECTS = (
    Dialect("prompt", {"add_special_tokens": False}),  # vLLM, SGLang
    Dialect("prompt", {}),  # ours: it never adds any
    Dialect("content", {"add_special": False, "parse_special": False}, model=False),  # llama.cpp
)
TEXTS = ("prompt", "content", "text")
"""Under which of these /detokenize answers depends on the server."""


class EndpointTokens:
    """By /tokenize and /detokenize of the server that writes."""

    think_ids = NO_THINK

    def __init__(
        self, client: httpx.AsyncClient, root: str, model: str, dialect: Dialect, patience: Patience
    ) -> None:
        self._client, self._root, self._model = client, root, model
        self._dialect, self._patience = dialect, patience

    @classmethod
    async def find(
        cls, client: httpx.AsyncClient, url: str, model: str, patience: Patience
    ) -> EndpointTokens:
        """The dialect in which a text survives the way there and back; EngineError if none.

        The routes stand beside /v1 in most servers, below it in some."""
        for root in dict.fromkeys((url.removesuffix("/v1"), url)):
            for dialect in DIALECTS:
                made = cls(client, root, model, dialect, Patience(1, 30.0))
                if await made._serves():
                    return cls(client, root, model, dialect, patience)
        raise EngineError(
            f"{shown(url)} does not tokenize, and tails are cut by tokens",
            "give the model's tokenizer.json: --tokenizer FILE",
        )

    async def _serves(self) -> bool:
        for text in PROBES:
            try:
                if await self.decode(await self.encode(text)) == text:
                    return True
            except EngineError:
                continue
        return False

    async def encode(self, text: str) -> list[int]:
        if not text:
            return []
        d = self._dialect
        model = {"model": self._model} if d.model else {}
        table = await self._ask("tokenize", {**model, d.text: text, **d.more})
        ids = table.get("tokens")
        if not isinstance(ids, list) or not all(type(i) is int for i in ids):
            raise EngineError(
                f"{shown(self._root)}/tokenize answers with no ids", "use --tokenizer"
            )
        return ids

    async def decode(self, ids: Sequence[int]) -> str:
        ids = [i for i in ids if i >= 0]
        if not ids:
            return ""
        model = {"model": self._model} if self._dialect.model else {}
        table = await self._ask("detokenize", {**model, "tokens": ids})
        text = next((table[k] for k in TEXTS if isinstance(table.get(k), str)), None)
        if text is None:
            raise EngineError(
                f"{shown(self._root)}/detokenize answers with no text", "use --tokenizer"
            )
        return text

    async def _ask(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        async def ask() -> dict[str, Any]:
            response = await self._client.post(f"{self._root}/{route}", json=body)
            check_status(response, response.text, self._root)
            table = parsed(response.text)
            return table if isinstance(table, dict) else {}

        return await persist(ask, self._patience, f"{self._root}/{route}")
