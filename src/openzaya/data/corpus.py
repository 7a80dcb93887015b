"""Reading built data: every batch is a pure function of (seed, index).

The windows of each source are shuffled anew in every epoch and mixed by weight (grain's MapDataset:
any index at any time, nothing to restore). A weight is a share of windows; as windows are full,
it is the share of tokens, too.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from openzaya.config.data import DataConfig
from openzaya.data.batch import Batch
from openzaya.data.example import Example
from openzaya.data.manifest import changed_keys, read_manifest, sha256
from openzaya.data.store import Documents, Windows
from openzaya.errors import DataError
from openzaya.tokenizer import Tokenizer


class Split:
    """The windows of one source, for training or held out."""

    def __init__(self, folder: Path, split: str) -> None:
        self.documents = Documents(sorted(folder.glob(f"{split}-*.arrow")))
        self.windows = Windows(folder / f"{split}.windows")

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> list[Example]:
        return [self.documents[int(i)] for i in self.windows[index]]


class Corpus:
    """Built data, opened for training."""

    def __init__(self, config: DataConfig, manifest: dict[str, Any]) -> None:
        # It looks for jax, and warns where there is none.
        logging.getLogger("absl").setLevel(logging.ERROR)
        import grain

        self.config, self.manifest = config, manifest
        self.fingerprint: str = manifest["fingerprint"]
        folder = Path(config.folder)
        self.tokenizer = Tokenizer.load(folder)
        self.weights = config.weights()
        self.train = {name: Split(folder / name, "train") for name in self.weights}
        self.validation = {name: Split(folder / name, "held_out") for name in self.weights}
        shuffled = [
            grain.MapDataset.range(len(split)).seed(_seed(config.seed, name)).shuffle().repeat()
            for name, split in self.train.items()
        ]
        tagged = [part.map(_Tag(name)) for part, name in zip(shuffled, self.train, strict=True)]
        self._mixed: Any = grain.MapDataset.mix(tagged, list(self.weights.values()))

    @classmethod
    def open(cls, config: DataConfig) -> Corpus:
        """DataError where the folder is missing, damaged, or built from another recipe."""
        folder = Path(config.folder)
        if not folder.is_dir():
            raise DataError(f"{folder} does not exist yet", "run `zaya data build RECIPE` first")
        manifest = read_manifest(folder)
        changed = changed_keys(manifest, config)
        if changed:
            raise DataError(
                f"{folder} was built from another recipe: {', '.join(changed)} changed",
                "build it anew with `zaya data build RECIPE --overwrite`",
            )
        for name, facts in manifest["files"].items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != facts["bytes"]:
                raise DataError(f"{path} is missing or cut short", "build it anew with --overwrite")
        return cls(config, manifest)

    def verify(self) -> None:
        """Compare every file with its checksum; DataError names the first that differs."""
        for name, facts in self.manifest["files"].items():
            path = Path(self.config.folder) / name
            if sha256(path) != facts["sha256"]:
                raise DataError(f"{path} is damaged: its checksum differs", "build it anew")

    @property
    def steps_per_epoch(self) -> int:
        """Steps after which the source that lasts longest for its weight was seen once."""
        per_step = self.config.windows_per_step
        spans = [len(self.train[name]) / weight for name, weight in self.weights.items()]
        return max(1, round(max(spans) / per_step))

    def batch(self, index: int, part: int = 0, parts: int = 1) -> Batch:
        """Windows `part`, part + parts, .. of batch `index`: over all parts they are the same for
        any number of parts."""
        count = self.config.windows_per_step
        places = range(index * count + part, (index + 1) * count, parts)
        drawn = [self._mixed[place] for place in places]
        return Batch([self.train[name][window] for name, window in drawn], self.config.window)

    def held_out(self, limit: int) -> Batch:
        """The first `limit` held-out windows, taken from the sources in turn."""
        splits = list(self.validation.values())
        rounds = range(max((len(split) for split in splits), default=0))
        windows = [split[i] for i in rounds for split in splits if i < len(split)]
        return Batch(windows[:limit], self.config.window)

    def state_dict(self) -> dict[str, Any]:
        return {"fingerprint": self.fingerprint}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Refuses to go on with data that changed since the checkpoint."""
        if state["fingerprint"] != self.fingerprint:
            raise DataError(
                f"{self.config.folder} changed since the checkpoint was written",
                "restore the data, or start a new run from the checkpoint with init_from",
            )


class _Tag:
    """Puts the source's name to a window's number."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, window: int) -> tuple[str, int]:
        return self.name, int(window)


def _seed(seed: int, name: str) -> int:
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
