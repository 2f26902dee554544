"""Which studies of a PACS are meant: `pacs:NAME/...` on the command line, and a table of several.

What tells who a patient is stands here alone: no message repeats it, as messages are logged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

from vmseg_auto.utils.errors import DatasetError, InputError, VmsegError
from vmseg_auto.utils.foreign_tables import read_foreign_table
from vmseg_auto.utils.names import case_name

PREFIX = "pacs:"
_WORDS = {
    "study": "StudyInstanceUID",
    "accession": "accession number",
    "patient": "patient id",
    "date": "study date",
}
_HOW = (
    "Write pacs:NAME/STUDY_UID, pacs:NAME/accession=NUMBER or pacs:NAME/patient=ID,date=YYYYMMDD, where NAME is a peer "
    "of the settings file."
)
_UID = re.compile(r"[0-9.]{1,64}")
_DAY = re.compile(r"\d{8}")
_NEXT_KEY = re.compile(rf",(?=(?:{'|'.join(_WORDS)})=)", re.IGNORECASE)
_NAME = "name"
_COLUMNS = {
    "study": ("StudyInstanceUID", "study UID"),
    "accession": ("AccessionNumber",),
    "patient": ("PatientID",),
    "date": ("StudyDate",),
    _NAME: (),
}
"""Of a table of studies, and what DICOM calls them."""
_KEYS = ("study", "accession", "patient")
_TABLE = (
    f"Write a row for each study; it needs one of the columns {', '.join(_KEYS)}; date and {_NAME} may stand beside."
)


@dataclass(frozen=True)
class StudyKeys:
    """What a study is known by; all that is given must be its own.

    Args:
        study: StudyInstanceUID.
        accession: AccessionNumber.
        patient: PatientID.
        date: StudyDate, as YYYYMMDD.

    Raises:
        InputError: nothing that tells a study is given, or something that can be no study's.
    """

    study: str = ""
    accession: str = ""
    patient: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        if not (self.study or self.accession or self.patient):
            raise InputError("no study is named", remedy=_HOW)
        for field in fields(self):
            value = getattr(self, field.name)
            if any(sign in value for sign in "*?\\"):
                problem = f"the {_WORDS[field.name]} has a sign that stands for others (*, ? or \\)"
                raise InputError(problem, remedy="Name one study; a table of --studies names several.")
        if self.study and not _UID.fullmatch(self.study):
            raise InputError("the StudyInstanceUID holds other signs than digits and points", remedy=_HOW)
        if self.date and not _DAY.fullmatch(self.date):
            raise InputError("the study date is not written as YYYYMMDD", remedy="Write 20260131 for 31 January 2026.")

    def words(self) -> str:
        """Say what the study is known by, without telling it.

        >>> StudyKeys(patient="4711", date="20260131").words()
        'this patient id and study date'
        """
        return f"this {' and '.join(words for name, words in _WORDS.items() if getattr(self, name))}"


@dataclass(frozen=True)
class Listed:
    """A row of a table of studies.

    Args:
        line: in the table.
        keys: of the study.
        name: of the folder that its scans go into; made from the patient's id unless given.
    """

    line: int
    keys: StudyKeys
    name: str = ""


def is_address(given: str | None) -> bool:
    """Return whether an input names scans of a PACS, and no file or folder.

    >>> is_address("pacs:archive/1.2.3"), is_address("PACS:archive"), is_address("./pacs")
    (True, True, False)
    """
    return given is not None and given[: len(PREFIX)].lower() == PREFIX


def parse_address(given: str) -> tuple[str, StudyKeys | None]:
    """Return the name of the peer and what the study is known by; None where only a peer is named.

    >>> parse_address("pacs:archive/accession=A-17")
    ('archive', StudyKeys(study='', accession='A-17', patient='', date=''))

    Raises:
        InputError: it can't be read so; what is wrong is said.
    """
    name, _, told = given[len(PREFIX) :].partition("/")
    if not name:
        raise InputError("no PACS is named", remedy=_HOW)
    if not told:
        return name, None
    if "=" not in told:
        return name, StudyKeys(told.strip())
    keys: dict[str, str] = {}
    for part in _NEXT_KEY.split(told):
        key, _, value = part.partition("=")
        key = key.strip().lower()
        if key not in _WORDS:
            raise InputError(f"what the study is known by can't be read; there are {', '.join(_WORDS)}", remedy=_HOW)
        if key in keys:
            raise InputError(f"{key}= stands twice", remedy=_HOW)
        if not value.strip():
            raise InputError(f"nothing stands behind {key}=", remedy=_HOW)
        keys[key] = value.strip()
    return name, StudyKeys(**keys)


def read_studies(path: Path) -> list[Listed]:
    """Read a table of studies: columns study, accession, patient, date, of which others may be missing, and name.

    Columns are known in capitals and by DICOM's names too; cells are parted by commas, semicolons or tabs.

    Raises:
        InputError: it is missing or no table, has none of these columns or others too, or no row.
        DatasetError: rows that name no study, or a folder that can't be; all are listed.
    """
    if not path.is_file():
        raise InputError("there is no such table of studies", file=path, remedy=_TABLE)
    columns, rows = read_foreign_table(path, _COLUMNS, f"There are {', '.join(_COLUMNS)}. Take it out, or mend it.")
    if not rows or columns.isdisjoint(_KEYS):
        raise InputError("no study is named in it", file=path, remedy=_TABLE)
    listed_rows: list[Listed] = []
    errors: list[VmsegError] = []
    for line, row in rows:
        try:
            listed_rows.append(_listed(line, row))
        except InputError as error:
            errors.append(InputError(f"line {line}: {error.problem}", remedy=error.remedy))
    if errors:
        raise DatasetError(f"{path.name}: {len(errors)} of {len(rows)} rows can't be used", errors)
    return listed_rows


def _listed(line: int, cells: dict[str, str]) -> Listed:
    """Return a row of a table. Raises InputError where it names no study, or a folder that can't be."""
    keys = {name: cells.get(name, "") for name in _WORDS}
    folder = cells.get(_NAME, "")
    if folder and (folder in (".", "..") or "/" in folder or "\\" in folder or case_name([folder]) != folder):
        raise InputError("no folder can have this name", remedy="Write letters, digits, - and _.")
    return Listed(line, StudyKeys(**keys), folder)
