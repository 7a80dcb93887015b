"""The tokenizer of a build: read from a file, or a byte-level BPE trained on the sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from openzaya.chat import SPECIAL_TOKENS
from openzaya.config.data import DataConfig
from openzaya.data.inputs import Malformed, find_inputs
from openzaya.data.rows import read_sample
from openzaya.errors import DataError
from openzaya.tokenizer import TOKENIZER_FILE, Tokenizer

SMALLEST = 256 + len(SPECIAL_TOKENS)
"""Every byte has a token."""


def make_tokenizer(config: DataConfig) -> Tokenizer:
    """As the recipe says. A foreign tokenizer gets the chat form's special tokens that it lacks."""
    if config.train_vocabulary is not None:
        return _train(config, config.train_vocabulary)
    assert config.tokenizer is not None
    path = Path(config.tokenizer)
    file = path / TOKENIZER_FILE if path.is_dir() else path
    if not file.is_file():
        raise DataError(
            f"data.tokenizer: no tokenizer at {path}",
            f"name a {TOKENIZER_FILE}, or a folder that holds one",
        )
    try:
        inner = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the Rust parser raises nothing narrower
        raise DataError(f"{file} is not a tokenizer: {error}", "copy it again") from error
    inner.no_truncation()  # some files ask for it, and a text would lose its end in silence
    inner.no_padding()
    missing = [t for t in SPECIAL_TOKENS if inner.token_to_id(t) is None]
    inner.add_special_tokens([AddedToken(t, normalized=False) for t in missing])
    return Tokenizer(inner)


def _train(config: DataConfig, size: int) -> Tokenizer:
    """Digits stand alone, so that arithmetic sees every one of them."""
    if size < SMALLEST:
        raise DataError(
            f"data.train_vocabulary: {size} ids do not hold every byte",
            f"use at least {SMALLEST}",
        )
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(t, normalized=False) for t in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    inner.train_from_iterator(_texts(config), trainer)
    return Tokenizer(inner)


def _texts(config: DataConfig) -> Iterator[str]:
    """Bad rows are left to the build, which counts them."""
    for item in find_inputs(config):
        source = config.sources[item.source]
        for number, row in item.rows(source):
            if isinstance(row, Malformed):
                continue
            try:
                yield read_sample(row, source, f"{item.path}:{number}").words
            except DataError:
                continue
