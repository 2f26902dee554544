"""Scans come from a PACS into a folder, from which commands read them as from any other.

    FOLDER/STUDY/SERIES/*.dcm      of one study that is predicted
    FOLDER/NAME/SERIES/*.dcm       of the studies of a table; NAME is the table's, or a salted hash of the patient's id

Series and files are named after hashes of UIDs, so that cases have the names that `vmseg_node` gives them. A series is
there as a whole or not at all: the same command goes on from what has come.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from vmseg_auto.data.dicom.weighting import wanted_weighting, weightings_named
from vmseg_auto.pacs.address import Listed, StudyKeys
from vmseg_auto.pacs.fetch import IncompleteError, fetch
from vmseg_auto.pacs.incoming import read_received
from vmseg_auto.pacs.network import PeerError, require_pynetdicom
from vmseg_auto.pacs.query import FoundSeries, FoundStudy, finding
from vmseg_auto.pacs.settings import PacsSettings
from vmseg_auto.pacs.states import study_hash
from vmseg_auto.utils.atomic import whole_files, write_text
from vmseg_auto.utils.console import Console, Progress, columns, shown
from vmseg_auto.utils.errors import DatasetError, InputError, VmsegError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.text import counted

_MODALITY = "MR"
_NOT_MR, _NOT_CHOSEN = "no MR series", "not chosen by --series"


@dataclass(frozen=True)
class Pull:
    """What is fetched from a PACS, and what of it is wanted.

    Args:
        settings: the settings file.
        peer: name of the PACS in it.
        series: names or descriptions of the only series wanted, or patterns such as "*T2*"; unless given, series are
            left out whose description names other weightings than the channel's name.
        channel: what the scans are called, such as T2.
        left: series that are not fetched are noted here.
        console: where words and progress go. SeriesDescription goes to the screen alone: it can name a patient.
    """

    settings: PacsSettings
    peer: str
    series: tuple[str, ...]
    channel: str
    left: Inventory
    console: Console

    def study(self, keys: StudyKeys, folder: Path) -> Path:
        """Fetch a study; returns the folder of its series within `folder`.

        Raises:
            InputError: there is no such study, several, or one of two patients; none of its series is wanted; the extra
                `pacs` is not installed.
            PeerError: the PACS can't be reached, rejects the association, or gives nothing.
            IncompleteError: fewer images came than there are.
            VmsegError: they can't be written.
        """
        require_pynetdicom()
        with finding(self.settings, self.peer) as archive:
            study = archive.find_study(keys)
        series = self._wanted(study)
        place = folder / f"study_{study_hash(study.uid)}"
        with self._progress([series]) as progress:
            self._fetch(series, place, progress)
        return place

    def table(self, rows: Sequence[Listed], table: Path, folder: Path, salt: Path) -> None:
        """Fetch the studies of a table into `folder`; what has come stays there, also where others can't be fetched.

        Args:
            rows: of the table.
            table: where they stand, for messages.
            folder: of the scans.
            salt: a secret file, made where there is none. Folders without a name are called after a hash of it and the
                patient's id: whoever lacks it can't find the id by trying all.

        Raises:
            DatasetError: some studies are not there, not wanted, or not whole; all are listed.
            InputError, VmsegError: as `study`; PeerError only where no association is possible at the beginning.
        """
        require_pynetdicom()
        wanted: dict[Listed, tuple[Path, list[FoundSeries]]] = {}
        lines: dict[str, int] = {}
        errors: list[VmsegError] = []
        with finding(self.settings, self.peer) as archive:
            for row in rows:
                try:
                    study = archive.find_study(row.keys)
                    if lines.setdefault(study.uid, row.line) != row.line:
                        problem = f"it names the same study as line {lines[study.uid]}"
                        raise InputError(problem, remedy="Take one of them out.")
                    name = row.name or self._patient_name(study, row, salt)
                    wanted[row] = folder / name, self._wanted(study)
                except InputError as error:
                    errors.append(_of_line(row, error))
                except PeerError as error:  # the association is of no use any more
                    errors += [_of_line(row, error), *_not_tried(rows, row)]
                    break
        _require_all(errors, rows, table, "no image is fetched")
        with self._progress([series for _, series in wanted.values()]) as progress:
            for row, (place, series) in wanted.items():
                try:
                    self._fetch(series, place, progress)
                except (InputError, IncompleteError) as error:
                    errors.append(_of_line(row, error))
                except PeerError as error:
                    errors += [_of_line(row, error), *_not_tried(list(wanted), row)]
                    break
        _require_all(errors, rows, table, f"what came is in {folder}, and the same command goes on from there")

    def _patient_name(self, study: FoundStudy, row: Listed, salt: Path) -> str:
        if not study.patient:
            self.console.warn(
                f"line {row.line}: {self.peer} gives no PatientID, so this study counts as a patient of its own; give "
                "studies of one patient the same name in the table"
            )
        if not salt.exists():
            write_text(salt, secrets.token_hex(32))
        known_as = f"{salt.read_text(encoding='ascii')} {study.patient or study.uid}"
        return f"patient_{hashlib.sha256(known_as.encode()).hexdigest()[:12]}"

    def _wanted(self, study: FoundStudy) -> list[FoundSeries]:
        """Return the series to fetch, and show all."""
        why_not = {one: self._why_not(one) for one in study.series}
        rows = [
            (one.name, str(one.images or ""), why or "fetched", shown(one.description, lines=False))
            for one, why in why_not.items()
        ]
        self.console.show(columns([("series", "images", "", "SeriesDescription"), *rows]))
        for one, why in why_not.items():
            if why:
                self.left.add("series", one.name, why, meant=why in (_NOT_MR, _NOT_CHOSEN))
        wanted = [one for one, why in why_not.items() if why is None]
        if not wanted:
            problem = f"none of the {len(why_not)} series of a study in {self.peer} is fetched"
            reasons = ", ".join(sorted({why for why in why_not.values() if why}))
            remedy = 'Name the right one with --series, by its SeriesDescription, such as --series "*T2*".'
            raise InputError(f"{problem} ({reasons})" if reasons else problem, remedy=remedy)
        return wanted

    def _why_not(self, one: FoundSeries) -> str | None:
        """Return why a series is not fetched; None where it is."""
        if one.modality not in ("", _MODALITY):
            return _NOT_MR
        if self.series:
            names = (one.name, one.description.casefold())
            chosen = any(fnmatchcase(names[0], each) or fnmatchcase(names[1], each.casefold()) for each in self.series)
            return None if chosen else _NOT_CHOSEN
        named, wanted = weightings_named(one.description), wanted_weighting(self.channel)
        return f"{named[0]} by its description, not {wanted}" if named and wanted and wanted not in named else None

    def _progress(self, series: Sequence[Sequence[FoundSeries]]) -> Progress:
        total = sum(one.images or 0 for several in series for one in several)
        return self.console.progress(f"Fetching from {self.peer}", total)

    def _fetch(self, series: Sequence[FoundSeries], folder: Path, progress: Progress) -> None:
        """Fetch the series of one study, but for those that lie there as a whole."""
        places = [folder / one.name for one in series]
        for one, place in zip(series, places, strict=True):
            there = len(whole_files(place, "*.dcm"))
            if there and there == (one.images or there):
                progress.advance(there)
                continue
            shutil.rmtree(place, ignore_errors=True)  # it has other images in the PACS by now
            fetch(self.settings, self.peer, one, place, progress.advance)
        firsts = [read_received(next(iter(whole_files(place, "*.dcm")))) for place in places]
        if len({first.patient for first in firsts if first}) > 1:
            problem = f"a study in {self.peer} holds images of two patients"
            raise InputError(problem, remedy="Have it mended in the PACS, or name the one series with --series.")


def _of_line(row: Listed, error: VmsegError) -> VmsegError:
    return InputError(f"line {row.line}: {error.problem}", case=error.case, remedy=error.remedy)


def _not_tried(rows: Sequence[Listed], last: Listed) -> list[VmsegError]:
    """Return an error that counts the rows after the last one that was tried; none where there are none."""
    others = rows[rows.index(last) + 1 :]
    if not others:
        return []
    lines = ", ".join(str(row.line) for row in others)
    return [
        VmsegError(f"{counted(len(others), 'row')} after it not tried: line {lines}", remedy="Run the command again.")
    ]


def _require_all(errors: Sequence[VmsegError], rows: Sequence[Listed], table: Path, what_now: str) -> None:
    if errors:
        problem = f"{table.name}: {len(errors)} of {counted(len(rows), 'row')} can't be fetched; {what_now}"
        raise DatasetError(problem, errors)
