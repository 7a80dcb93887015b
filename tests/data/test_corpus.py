"""Reading: a batch is a function of (seed, index), whoever asks, and however many share it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from openzaya.config.base import to_toml
from openzaya.config.data import DataConfig, DataRecipe
from openzaya.data.batch import Batch
from openzaya.data.build import build
from openzaya.data.corpus import Corpus
from openzaya.errors import DataError

Recipe = Callable[..., DataConfig]


def keys(batch: Batch) -> list[str]:
    """Each window as text."""
    return [
        np.concatenate([example.ids for example in members]).tobytes().hex()
        for members in batch.windows
    ]


@pytest.fixture
def corpus(recipe: Recipe) -> Corpus:
    build(recipe())
    return Corpus.open(recipe())


def test_any_index_at_any_time(corpus: Corpus, recipe: Recipe) -> None:
    asked = [0, 3, 1, 3, 500, 0]
    batches = [keys(corpus.batch(i)) for i in asked]
    again = Corpus.open(recipe())
    assert [keys(again.batch(i)) for i in asked] == batches
    assert batches[1] == batches[3] and batches[0] != batches[1]


def test_another_process_reads_the_same(corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(to_toml(DataRecipe(data=recipe())))
    script = (
        "import sys, json, numpy as np\n"
        "from openzaya.config.base import load_recipe\n"
        "from openzaya.config.data import DataRecipe\n"
        "from openzaya.data.corpus import Corpus\n"
        "c = Corpus.open(load_recipe(DataRecipe, sys.argv[1]).data)\n"
        "print(json.dumps([[np.concatenate([e.ids for e in w]).tobytes().hex()\n"
        "                   for w in c.batch(i).windows] for i in (7, 2)]))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "r.toml")]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == [keys(corpus.batch(7)), keys(corpus.batch(2))]
    assert out.stderr == ""


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 6, 8])
def test_the_parts_of_a_batch_are_the_batch(corpus: Corpus, parts: int) -> None:
    whole = keys(corpus.batch(5))
    shares = [keys(corpus.batch(5, part, parts)) for part in range(parts)]
    assert sum(map(len, shares)) == len(whole)
    assert [shares[i % parts][i // parts] for i in range(len(whole))] == whole


def test_an_epoch_shows_every_window_and_the_next_another_order(recipe: Recipe) -> None:
    config = recipe(windows_per_step=1)
    build(config)
    only = {"prose": config.sources["prose"]}
    corpus = Corpus.open(config)
    corpus = Corpus(config.model_copy(update={"sources": only}), corpus.manifest)
    count = len(corpus.train["prose"])
    first = [keys(corpus.batch(i))[0] for i in range(count)]
    second = [keys(corpus.batch(i))[0] for i in range(count, 2 * count)]
    assert len(set(first)) == count and set(first) == set(second) and first != second
    assert corpus.steps_per_epoch == count


def test_the_mixture_has_its_shares(corpus: Corpus) -> None:
    of = {
        key: name for name, split in corpus.train.items()
        for key in keys(Batch([split[i] for i in range(len(split))], 128))
    }  # fmt: skip
    counts = Counter(of[key] for i in range(200) for key in keys(corpus.batch(i)))
    assert counts["sums"] == pytest.approx(0.75 * 1200, abs=2)
    assert corpus.weights == {"sums": 0.75, "prose": 0.25}


def test_other_seeds_and_weights_are_other_batches(corpus: Corpus, recipe: Recipe) -> None:
    """Negative controls: what the batch is a function of."""
    heavier = recipe()
    sources = {n: s.model_copy(update={"weight": 1.0}) for n, s in heavier.sources.items()}
    even = Corpus.open(heavier.model_copy(update={"sources": sources}))
    assert keys(even.batch(0)) != keys(corpus.batch(0))
    reseeded = Corpus(recipe(seed=1), corpus.manifest)
    assert keys(reseeded.batch(0)) != keys(corpus.batch(0))


def test_held_out_windows_come_from_all_sources(corpus: Corpus) -> None:
    assert len(corpus.held_out(3).windows) == 3
    everything = corpus.held_out(10**6)
    assert len(everything.windows) == sum(len(s) for s in corpus.validation.values()) > 3
    trained = {k for s in corpus.train.values() for k in keys(Batch([s[0]], 128))}
    assert not trained & set(keys(everything))


def test_damage_is_noticed(corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    file = tmp_path / "built" / "sums" / "train-00001.arrow"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"train-00001\.arrow is damaged"):
        Corpus.open(recipe()).verify()
    file.write_bytes(data[:-9])
    with pytest.raises(DataError, match="cut short"):
        Corpus.open(recipe())
    (tmp_path / "built" / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        Corpus.open(recipe())


def test_data_that_changed_is_refused(corpus: Corpus) -> None:
    corpus.load_state_dict(corpus.state_dict())
    with pytest.raises(DataError, match="changed since the checkpoint"):
        corpus.load_state_dict({"fingerprint": "another"})


def test_data_that_is_not_there(recipe: Recipe) -> None:
    with pytest.raises(DataError, match="does not exist yet") as error:
        Corpus.open(recipe())
    assert "zaya data build" in error.value.hint
