"""Where model versions live: numbered bundles under ``$REC_PLATFORM_HOME/models``, and aliases that point at them.

models/NAME/1/…             a bundle, never changed
models/NAME/2/…
models/NAME/aliases.jsonl   every move of every alias (`rec_platform.registry.aliases`)
models/NAME/promotions.jsonl    every question whether to promote, and its answer (`rec_platform.registry.records`)
models/NAME/.lock           held while a number is given out or an alias moves
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rec_platform.errors import InputError, did_you_mean
from rec_platform.registry.aliases import AliasMove, append_move, check_alias, read_moves, trails, whoami
from rec_platform.registry.bundle import Bundle, read_bundle, verify_bundle
from rec_platform.registry.files import folder_beside, sync_files, sync_folder
from rec_platform.registry.home import platform_home
from rec_platform.registry.manifest import MANIFEST_NAME, BundleManifest
from rec_platform.registry.records import PromotionRecord, append_record, read_records

CHAMPION = "champion"

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered version.

    Attributes:
        name: of the model.
        version: its number, from 1.
        alias: the alias it was asked for by; None where it was asked for by number.
        folder: the bundle.
    """

    name: str
    version: int
    alias: str | None
    folder: Path

    @property
    def manifest(self) -> BundleManifest:
        return BundleManifest.read(self.folder)

    def load(self) -> Bundle:
        """Verify and load the bundle; raises `InputError` as `read_bundle`."""
        return read_bundle(self.folder)


class ModelRegistry:
    """Registers, numbers and points at model versions; safe for several processes at once.

    Args:
        home: the platform's state folder (`platform_home`).
    """

    def __init__(self, home: str | Path | None = None) -> None:
        self.folder = platform_home(home) / "models"

    def models(self) -> list[str]:
        """Names of all models that have a version, sorted."""
        if not self.folder.is_dir():
            return []
        names = [path.name for path in self.folder.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)]
        return sorted(name for name in names if self._numbers(name))

    def register(self, name: str, source: Path | Callable[[Path], object]) -> int:
        """Take a bundle in under the next free number, and return that number.

        Args:
            name: lower-case letters, digits, ``_ . -``; at most 64.
            source: a bundle folder, which is copied; or a function that writes a bundle into the folder it is given.

        Raises:
            InputError: the name is not one, or the bundle does not verify. Nothing is registered then.
        """
        home = self._model_folder(name)
        with folder_beside(home, "incoming") as workspace:
            bundle = workspace / "bundle"
            if callable(source):
                source(bundle)
            else:
                verify_bundle(Path(source))
                shutil.copytree(source, bundle)
            manifest = verify_bundle(bundle)
            with self._locked(home):
                version = max(self._numbers(name), default=0) + 1
                numbered = manifest.model_copy(update={"name": name, "version": version})
                (bundle / MANIFEST_NAME).write_text(numbered.to_json())
                sync_files(bundle)
                os.rename(bundle, home / str(version))
                sync_folder(home)
        return version

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, oldest first; raises `InputError` for an unknown model."""
        numbers = self._known(name)
        return [ModelVersion(name, number, None, self.folder / name / str(number)) for number in numbers]

    def aliases(self, name: str) -> dict[str, int]:
        """Which version each alias of a model points at."""
        self._known(name)
        return {alias: trail[-1] for alias, trail in trails(self.history(name)).items()}

    def get(self, name: str, reference: str | int = CHAMPION) -> ModelVersion:
        """A version by its number (``3`` or ``"3"``) or by an alias.

        Raises:
            InputError: no such model, version or alias.
        """
        numbers = self._known(name)
        text = str(reference)
        alias = None if text.isascii() and text.isdigit() else text
        if alias is None:
            number = int(text)
        else:
            known = self.aliases(name)
            if alias not in known:
                hint = (
                    did_you_mean(alias, known)
                    if known
                    else f"promote one: rec-platform models promote {name} --candidate VERSION"
                )
                raise InputError("alias", f"model '{name}' has no alias '{alias}'", hint)
            number = known[alias]
        if number not in numbers:
            raise InputError("version", f"model '{name}' has no version {number}", f"known: {_listed(numbers)}")
        return ModelVersion(name, number, alias, self.folder / name / str(number))

    def promote(
        self,
        name: str,
        version: int | str,
        alias: str = CHAMPION,
        *,
        actor: str | None = None,
        reason: str = "",
        record: str = "",
    ) -> AliasMove:
        """Point an alias at a version, durably. Promoting what it points at already is recorded and changes nothing.

        Nothing is asked: see `decided` for what a gate says.

        Raises:
            InputError: no such model or version, or not the name of an alias.
        """
        check_alias(alias)
        target = self.get(name, version).version
        home = self._model_folder(name)
        with self._locked(home):
            return self._promote(name, alias, target, actor or whoami(), reason, record)

    def _promote(self, name: str, alias: str, target: int, actor: str, reason: str, record: str) -> AliasMove:
        current = self.aliases(name).get(alias)
        move = AliasMove("promote", alias, target, current, actor, reason, AliasMove.now(), record)
        append_move(self._model_folder(name) / "aliases.jsonl", move)
        return move

    def decided(self, name: str, record: PromotionRecord) -> tuple[PromotionRecord, AliasMove | None]:
        """Keep what was decided about a candidate, and move the alias if that was to promote it.

        Raises:
            InputError: no such model or version, or the alias does not point any more at what the candidate was
                compared with. Nothing is kept then.
        """
        check_alias(record.alias)
        self.get(name, record.candidate)
        home = self._model_folder(name)
        with self._locked(home):
            current = self.aliases(name).get(record.alias)
            if current != record.previous:
                problem = f"'{record.alias}' moved meanwhile, from {record.previous} to {current}"
                raise InputError("alias", problem, "ask again, so that the candidate is compared with that one")
            kept = append_record(home / "promotions.jsonl", record)
            if not kept.promoted:
                return kept, None
            move = self._promote(name, kept.alias, kept.candidate, kept.actor, kept.reason, kept.id)
        return kept, move

    def records(self, name: str) -> list[PromotionRecord]:
        """Every decision about a candidate of a model, oldest first."""
        self._known(name)
        return read_records(self.folder / name / "promotions.jsonl")

    def rollback(self, name: str, alias: str = CHAMPION, *, actor: str | None = None, reason: str = "") -> AliasMove:
        """Point an alias at the distinct version it pointed at before; a second rollback goes back one more.

        Raises:
            InputError: no such model or alias, or there is nothing before.
        """
        self._known(name)
        home = self._model_folder(name)
        with self._locked(home):
            trail = trails(self.history(name)).get(alias, [])
            if len(trail) < 2:
                where = f"'{alias}' of '{name}' has pointed at {'one version' if trail else 'no version'} only"
                raise InputError("alias", where, "there is nothing to roll back to; promote a version instead")
            move = AliasMove("rollback", alias, trail[-2], trail[-1], actor or whoami(), reason, AliasMove.now())
            append_move(home / "aliases.jsonl", move)
        return move

    def history(self, name: str) -> list[AliasMove]:
        """Every alias move of a model, oldest first."""
        self._known(name)
        return read_moves(self.folder / name / "aliases.jsonl")

    def _model_folder(self, name: str) -> Path:
        if not _NAME.fullmatch(name) or ".." in name:
            problem = f"'{name[:80]}' is not the name of a model"
            raise InputError(
                "name", problem, "use at most 64 lower-case letters, digits, _ . - and start with a letter or digit"
            )
        return self.folder / name

    def _numbers(self, name: str) -> list[int]:
        folder = self._model_folder(name)
        if not folder.is_dir():
            return []
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isascii() and path.name.isdigit())

    def _known(self, name: str) -> list[int]:
        numbers = self._numbers(name)
        if not numbers:
            names = self.models()
            hint = did_you_mean(name, names) if names else f"no model is registered under {self.folder}"
            raise InputError("name", f"there is no model '{name}'", hint)
        return numbers

    @contextmanager
    def _locked(self, folder: Path) -> Iterator[None]:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def parse_reference(text: str) -> tuple[str, str]:
    """``NAME``, ``NAME@ALIAS`` or ``NAME@VERSION`` as (name, alias or version); without @ it is ``champion``."""
    name, at, reference = text.partition("@")
    if not name or (at and not reference):
        raise InputError("model", f"'{text}' is not a model", "write NAME, NAME@ALIAS or NAME@VERSION")
    return name, reference or CHAMPION


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[-10:])) if len(numbers) <= 10 else f"{numbers[0]} to {numbers[-1]}"
