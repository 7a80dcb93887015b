"""The tokenizer of a build: trained on its sources, or somebody else's made to fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as HFTokenizer
from tokenizers import decoders, models, pre_tokenizers

from openzaya.chat import SPECIAL_TOKENS
from openzaya.config.data import DataConfig, SourceConfig
from openzaya.data.build import build
from openzaya.data.vocabulary import make_tokenizer
from openzaya.errors import DataError
from openzaya.tokenizer import Tokenizer, build_phrase_tokenizer

Recipe = Callable[..., DataConfig]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Bytes, no special tokens of ours, and cut off after 16 tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = HFTokenizer(models.BPE({t: i for i, t in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.enable_truncation(16)
    inner.enable_padding(length=16)
    (tmp_path / "foreign").mkdir()
    inner.save(str(tmp_path / "foreign" / "tokenizer.json"))
    return tmp_path / "foreign"


@pytest.fixture(scope="module")
def trained(raw: Path) -> Tokenizer:
    sources = {"prose": SourceConfig(path=str(raw / "text.jsonl"))}
    config = DataConfig(folder="", sources=sources, window=8, train_vocabulary=290)
    tokenizer = make_tokenizer(config)
    assert tokenizer == make_tokenizer(config), "equal sources give equal ids"
    return tokenizer


def test_a_trained_vocabulary(trained: Tokenizer) -> None:
    tokenizer = trained
    assert tokenizer.vocab_size == 290
    assert [tokenizer.inner.token_to_id(t) for t in SPECIAL_TOKENS] == list(range(6))
    text = "the sum is 1234"
    assert len(tokenizer.encode(text)) < len(text)
    assert [tokenizer.decode([i]) for i in tokenizer.encode(text)][-4:] == list("1234")


@given(text=st.text(max_size=40))
def test_every_text_comes_back(trained: Tokenizer, text: str) -> None:
    assert trained.decode(trained.encode(text)) == text


def test_a_foreign_tokenizer_is_made_to_fit(recipe: Recipe, foreign: Path) -> None:
    by_folder = make_tokenizer(recipe(train_vocabulary=None, tokenizer=str(foreign)))
    by_file = make_tokenizer(
        recipe(train_vocabulary=None, tokenizer=str(foreign / "tokenizer.json"))
    )
    assert by_folder == by_file and by_folder.vocab_size == 256 + len(SPECIAL_TOKENS)
    assert len(by_folder.encode("a" * 100)) == 100, "its own truncation is off"
    assert len(by_folder.encode("a")) == 1, "and its padding"
    assert by_folder.bos_id not in by_folder.encode("<bos>")


def test_a_row_that_cannot_be_spelled_is_named(recipe: Recipe, tmp_path: Path) -> None:
    prompts = {"t": [f"word {i}" for i in range(16)]}
    build_phrase_tokenizer(prompts, [], "abc").save(tmp_path / "characters")
    (tmp_path / "a.jsonl").write_text('{"text": "abc"}\n{"text": "ab!"}\n')
    config = recipe(
        sources={"a": {"path": str(tmp_path / "a.jsonl")}},
        train_vocabulary=None,
        tokenizer=str(tmp_path / "characters"),
    )
    with pytest.raises(DataError, match=r"a\.jsonl:2: .*no token for '!'"):
        build(config)
