"""Which studies of a PACS are meant: `pacs:NAME/...` on the command line, and a table of several.

What tells who a patient is stands here alone: no message repeats it, as messages are logged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

from vmseg_auto.utils.console import shown
from vmseg_auto.utils.errors import DatasetError, InputError, VmsegError
from vmseg_auto.utils.names import case_name
from vmseg_auto.utils.tables import read_csv

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
_NEXT_KEY = re.compile(rf",(?=(?:{'|'.join(_WORDS)})=)")
_NAME = "name"


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

    >>> is_address("pacs:archive/1.2.3"), is_address("./pacs")
    (True, False)
    """
    return given is not None and given.startswith(PREFIX)


def parse_address(given: str) -> tuple[str, StudyKeys | None]:
    """Return the name of the peer and what the study is known by; None where only a peer is named.

    >>> parse_address("pacs:archive/accession=A-17")
    ('archive', StudyKeys(study='', accession='A-17', patient='', date=''))

    Raises:
        InputError: it can't be read so; what is wrong is said.
    """
    name, _, told = given.removeprefix(PREFIX).partition("/")
    if not name:
        raise InputError("no PACS is named", remedy=_HOW)
    if not told:
        return name, None
    if "=" not in told:
        return name, StudyKeys(told.strip())
    keys: dict[str, str] = {}
    for part in _NEXT_KEY.split(told):
        key, _, value = part.partition("=")
        if key not in _WORDS or key in keys or not value.strip():
            raise InputError(f"what the study is known by can't be read; there are {', '.join(_WORDS)}", remedy=_HOW)
        keys[key] = value.strip()
    return name, StudyKeys(**keys)


def read_studies(path: Path) -> list[Listed]:
    """Read a table of studies: columns study, accession, patient, date, of which others may be missing, and name.

    Raises:
        InputError: it is no table, has none of these columns or others too, or no row.
        DatasetError: rows that name no study, or a folder that can't be; all are listed.
    """
    rows = read_csv(path, "Save it as CSV with commas.")
    columns = set(rows[0]) if rows else set()
    if not columns & {"study", "accession", "patient"}:
        remedy = f"It needs one of the columns study, accession and patient; date and {_NAME} may stand beside."
        raise InputError("no study is named in it", file=path, remedy=remedy)
    if unknown := sorted(filter(None, columns - {*_WORDS, _NAME})):
        problem = f"there is no such column: {', '.join(map(shown, unknown))}"
        raise InputError(
            problem, file=path, remedy=f"There are {', '.join((*_WORDS, _NAME))}. Take it out, or mend it."
        )
    listed_rows: list[Listed] = []
    errors: list[VmsegError] = []
    for line, row in enumerate(rows, 2):
        cells = {name: (row.get(name) or "").strip() for name in (*_WORDS, _NAME)}
        try:
            folder = cells.pop(_NAME)
            if folder and (folder in (".", "..") or "/" in folder or "\\" in folder or case_name([folder]) != folder):
                raise InputError("no folder can have this name", remedy="Write letters, digits, - and _.")
            listed_rows.append(Listed(line, StudyKeys(**cells), folder))
        except InputError as error:
            errors.append(InputError(f"line {line}: {error.problem}", remedy=error.remedy))
    if errors:
        raise DatasetError(f"{path.name}: {len(errors)} of {len(rows)} rows can't be used", errors)
    return listed_rows
