"""Repeated passages are found however they are set; chance hits are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openzaya.config.data import DecontaminateConfig
from openzaya.data.decontaminate import Contamination
from openzaya.errors import DataError

TEXT = "A train leaves the station at noon and travels north at forty miles an hour for two hours"


def contamination(folder: Path, *texts: str, words: int = 13) -> Contamination:
    file = folder / "evaluation.jsonl"
    file.write_text("".join(json.dumps({"question": t}) + "\n" for t in texts))
    return Contamination(DecontaminateConfig(files=(str(file),), words=words))


def test_a_passage_is_found_in_other_clothes(tmp_path: Path) -> None:
    seen = contamination(tmp_path, TEXT)
    words = TEXT.split()
    assert seen.hits(f"Before. {TEXT.upper().replace(' ', ',  ')} After.")
    assert seen.hits(" ".join(words[2:15]))
    assert not seen.hits(" ".join(words[2:14])), "twelve words are no passage"
    assert not seen.hits(" ".join([*words[:9], "quickly", *words[9:]]))


def test_short_texts_are_compared_whole_or_not_at_all(tmp_path: Path) -> None:
    seen = contamination(tmp_path, "what is seven times eight minus one", "what is two")
    assert seen.hits("tell me: What is seven times eight minus one?")
    assert not seen.hits("what is seven times eight minus two")
    assert not seen.hits("what is two")


def test_a_file_without_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no row"):
        contamination(tmp_path)
    (tmp_path / "evaluation.jsonl").write_text('{"prompt": "x"}\n')
    with pytest.raises(DataError, match=r"jsonl:1.*'question'"):
        Contamination(DecontaminateConfig(files=(str(tmp_path / "evaluation.jsonl"),)))
