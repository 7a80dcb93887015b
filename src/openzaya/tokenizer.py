"""Text to ids and back, and the tiny family's tokenizer.

`Tokenizer` wraps a HF `tokenizers.Tokenizer` of any kind. `build_phrase_tokenizer` makes the one
our tiny models use: a token per character, so that arithmetic and spelling see every digit and
letter, and a token per constant phrase of the task prompts, so that a prompt costs little more
than its variable part. The released models' own vocabulary (262,272 ids, arXiv 2605.05365) would
be nearly all of a tiny model's parameters. Left out: BPE training.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from openzaya.chat import (
    BOS,
    END_THINK,
    IM_END,
    IM_START,
    PAD,
    SPECIAL_TOKENS,
    TEMPLATE,
    THINK,
    Special,
    conversation_pieces,
    prompt_pieces,
)
from openzaya.errors import CheckpointError, DataError
from openzaya.types import Message

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"

MIN_PROMPTS = 16
"""Fewer sampled prompts per task cannot tell constant text from variable text."""
WORD_FREQUENCY = 0.15
"""A word in more than this share of a task's prompts is part of its phrasing."""

_WORD = re.compile(r"(?<!\w)[A-Za-z]{3,}(?!\w)")
# What touches the variable text belongs to it: a shared sign, digit, half word, bracket or quote.
_EDGE_TAIL = re.compile(r"\S+\Z")
_EDGE_HEAD = re.compile(r"\A\S+")


class Tokenizer:
    """A HF fast tokenizer that knows the chat form's special tokens."""

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        self.inner = inner
        inner.encode_special_tokens = True  # they come from `Special` pieces alone
        self.pad_id = self._special_id(PAD)
        self.bos_id = self._special_id(BOS)
        self.im_start_id = self._special_id(IM_START)
        self.im_end_id = self._special_id(IM_END)
        self.think_id = self._special_id(THINK)
        self.end_think_id = self._special_id(END_THINK)
        self._characters: frozenset[str] | None = None
        if isinstance(inner.model, models.WordLevel):
            vocabulary = inner.get_vocab(with_added_tokens=False)
            self._characters = frozenset(token for token in vocabulary if len(token) == 1)

    def _special_id(self, token: str) -> int:
        token_id = self.inner.token_to_id(token)
        if token_id is None:
            raise DataError(
                f"the tokenizer has no {token} token",
                f"add it as a special token; the chat form needs {' '.join(SPECIAL_TOKENS)}",
            )
        return token_id

    def __eq__(self, other: object) -> bool:
        """Whether both give every text the same ids."""
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return self.inner.to_str() == other.inner.to_str()

    __hash__ = None  # type: ignore[assignment]  # compared by value, and costly to hash

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included; ids are 0 .. vocab_size - 1."""
        return self.inner.get_vocab_size(with_added_tokens=True)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """What a model is given to continue: <bos>, all turns, an opened think block."""
        return [self.bos_id, *self.encode_pieces(prompt_pieces(messages))]

    def conversation_ids(self, messages: Sequence[Message]) -> list[int]:
        """<bos> and all turns, finished. `prompt_ids` of the context is a prefix of it."""
        return [self.bos_id, *self.encode_pieces(conversation_pieces(messages))]

    def encode_pieces(self, pieces: Iterable[str]) -> list[int]:
        """Ids of rendered pieces: `Special` ones by name, text by `encode`."""
        ids: list[int] = []
        for piece in pieces:
            if isinstance(piece, Special):
                ids.append(self._special_id(piece))
            else:
                ids += self.encode(piece)
        return ids

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, none of them special: a token spelled out in it stays letters."""
        if self._characters is not None:
            # A character model has no way to spell what it lacks, and a silent <unk> would
            # train the model on text that nobody wrote.
            unknown = set(text) - self._characters
            if unknown:
                raise DataError(
                    f"the tokenizer has no token for {', '.join(map(repr, sorted(unknown)))}",
                    "rebuild the tokenizer with these characters in its alphabet",
                )
        return self.inner.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """Text of `ids`; special tokens are dropped unless `skip_special` is False."""
        return self.inner.decode([int(i) for i in ids], skip_special_tokens=skip_special)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write what transformers' PreTrainedTokenizerFast loads, chat template included."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        self.inner.save(str(path / TOKENIZER_FILE))
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": IM_END,
            "pad_token": PAD,
            # Its default would delete spaces before punctuation, and "a ." must survive.
            "clean_up_tokenization_spaces": False,
        }
        (path / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (path / TEMPLATE_FILE).write_text(TEMPLATE, encoding="utf-8")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Tokenizer:
        """Read `folder`/tokenizer.json."""
        path = Path(folder) / TOKENIZER_FILE
        if not path.is_file():
            raise CheckpointError(
                f"no {TOKENIZER_FILE} in {Path(folder)}",
                "name a folder that holds a checkpoint or a saved tokenizer",
            )
        try:
            inner = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust parser raises nothing narrower
            raise CheckpointError(
                f"{path} is not a tokenizer: {error}",
                "copy it again from where it was made; it may have been cut short",
            ) from error
        return cls(inner)


def build_phrase_tokenizer(
    prompts: Mapping[str, Sequence[str]], extra_phrases: Sequence[str], alphabet: str
) -> Tokenizer:
    """The tiny family's tokenizer: characters, plus the constant phrases of the task prompts.

    `prompts` maps a task to some tens of its prompts, each from another seed. Ids: special
    tokens, then characters, then phrases and words, each sorted, so equal inputs give equal ids
    in whatever order the tasks come.
    """
    phrases = {phrase for phrase in extra_phrases if len(phrase) > 1}
    words: set[str] = set()
    for task, samples in prompts.items():
        task_phrases, task_words = constant_text(task, samples)
        phrases.update(task_phrases)
        words.update(task_words)
    words -= phrases
    for phrase in phrases:
        _check_leaves_specials_whole(phrase)

    texts = (alphabet, *extra_phrases, *SPECIAL_TOKENS, *(p for s in prompts.values() for p in s))
    characters = sorted(set().union(*texts))
    vocabulary = {token: i for i, token in enumerate((*SPECIAL_TOKENS, *characters))}
    # "<unk>" is not in the vocabulary: whoever loads this elsewhere gets an error, not a guess.
    inner = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    # Onig's "." stops at a newline; this class does not.
    inner.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    inner.decoder = decoders.Fuse()  # without a decoder, tokens would be joined by spaces
    inner.add_special_tokens([AddedToken(t, normalized=False) for t in SPECIAL_TOKENS])
    # Added tokens match leftmost, then longest. `single_word` keeps "all" out of "ball", which
    # a spelling task must see letter by letter.
    inner.add_tokens([AddedToken(p, normalized=False) for p in sorted(phrases)])
    inner.add_tokens([AddedToken(w, normalized=False, single_word=True) for w in sorted(words)])
    return Tokenizer(inner)


def constant_text(task: str, samples: Sequence[str]) -> tuple[list[str], list[str]]:
    """(phrases, words) that the prompts of one task share.

    Phrases are the common prefix and suffix, each cut back to the white space nearest to the
    variable middle, so that no number or word of it ever loses a piece to them. Words are those
    of three letters or more that stand in more than `WORD_FREQUENCY` of the middles.
    """
    if len(samples) < MIN_PROMPTS:
        raise DataError(
            f"{task}: {len(samples)} prompts cannot show which of their text is constant",
            f"sample at least {MIN_PROMPTS} prompts of each task",
        )
    prefix = _common_prefix(samples)
    suffix = _common_prefix([s[len(prefix) :][::-1] for s in samples])[::-1]
    middles = [s[len(prefix) : len(s) - len(suffix)] for s in samples]
    if any(middles):
        prefix, suffix = _EDGE_TAIL.sub("", prefix), _EDGE_HEAD.sub("", suffix)
    middles = [s[len(prefix) : len(s) - len(suffix)] for s in samples]
    frequency = Counter(word for middle in middles for word in set(_WORD.findall(middle)))
    words = [w for w, n in frequency.items() if n > WORD_FREQUENCY * len(samples)]
    # Text without a word ("]", " =") is the data's own notation and stays in characters.
    return [p for p in (prefix, suffix) if _WORD.search(p)], words


def _common_prefix(samples: Sequence[str]) -> str:
    first, last = min(samples), max(samples)  # the two that differ earliest
    n = 0
    while n < min(len(first), len(last)) and first[n] == last[n]:
        n += 1
    return first[:n]


def _check_leaves_specials_whole(phrase: str) -> None:
    """No phrase may hold a special token, nor end in the beginning of one: it would match first."""
    for special in SPECIAL_TOKENS:
        starts = (special[:n] for n in range(1, len(special)))
        if special in phrase or any(map(phrase.endswith, starts)):
            raise DataError(
                f"the phrase {phrase!r} overlaps the special token {special}",
                "end the phrase before the special token; it has an id of its own",
            )
