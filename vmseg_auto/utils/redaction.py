"""The one rule by which what may be a patient's name is kept out of files that others read, such as logs."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from vmseg_auto.utils.console import shown

_PLAIN = {
    "case", "patient", "phantom", "sub", "subject", "pat", "ses", "session", "visit", "scan", "scans", "image",
    "images", "img", "im", "mask", "masks", "label", "labels", "lesion", "lesions", "tw", "tse", "tra", "sag", "cor",
    "ax", "axial", "fs", "flair", "stir", "dixon", "mr", "mri", "dicom", "dicomdir", "dcm", "series", "ser", "se",
    "study", "st", "export", "exports", "data", "dataset", "raw", "nifti", "nii", "new", "old", "before", "after",
    "test", "train", "imagestr", "imagests", "labelstr", "labelsts", "previews", "probabilities", "uncertainty",
    "overlay", "logs", "volumes", "sources", "metrics", "report", "key", "vmseg", "readme", "zip",
}  # fmt: skip
"""Words of names that are nobody's, without their digits: those of vmseg_make_dataset's pseudonyms too."""
_WORD = re.compile(r"[^\W\d_]+")
_FEW = 3
"""So many cases may be one patient's visits."""
_WHOLE_WORD = re.compile(r"(?<![^\W_])[^\W\d_]{3,}(?![^\W_])")
_IDENTITY = re.compile(
    r"[^\W\d_] ?[,^]|\d{7}"
    r"|(?<!\d)(?:19|20)\d\d[-._](?:0?[1-9]|1[0-2])[-._](?:0?[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?<!\d)(?:0?[1-9]|[12]\d|3[01])[-._](?:0?[1-9]|1[0-2])[-._](?:19|20)\d\d(?!\d)"
)
"""What DICOM's names of persons hold; a long number, such as a date without signs between; a date with them."""
_DIGITS = re.compile(r"\d+")
_MOST_DIGITS = 4
"""A longer number may be a patient's."""


def is_telling(name: str) -> bool:
    """Return whether the name of a file or folder may be a patient's name or number.

    >>> [is_telling(name) for name in ("T2", "case_001", "IM0001", "Anna", "mueller_t2", "00471123")]
    [False, False, False, True, True, True]
    """
    words = [word.casefold() for word in _WORD.findall(name)]
    numbers = _DIGITS.findall(name)
    return any(word not in _PLAIN and (len(word) > 1 or not word.isascii()) for word in words) or any(
        len(number) > _MOST_DIGITS for number in numbers
    )


def identifying(names: Collection[str]) -> list[str]:
    """Find the names, of cases that belong together, that look as if they told who a patient is.

    Letters with a comma or a caret, as DICOM writes a person's name; a date; a long number; or a word that few of
    the cases share. What most are called, such as a study's name, is nobody's. Nobody can know for sure.

    >>> identifying(["vm_001", "vm_002"])
    []
    >>> identifying(["mueller_t2", "huber_t2", "MUELLER^ANNA", "pat_19830417", "case_001"])
    ['mueller_t2', 'huber_t2', 'MUELLER^ANNA', 'pat_19830417']
    """
    words = {name: {word.casefold() for word in _WHOLE_WORD.findall(name)} - _PLAIN for name in dict.fromkeys(names)}
    common = Counter(word for found in words.values() for word in found)
    return [
        name
        for name, found in words.items()
        if _IDENTITY.search(name) or any(common[word] <= min(_FEW, len(words) / 2) for word in found)
    ]


class Redaction:
    """Puts stand-ins into texts, in place of what may tell who a patient is.

    Args:
        places: text of a path -> what stands in its place, such as "INPUT".
        names: of files and folders in these places. Those that may be a patient's become name_1, name_2, ..., in the
            order of a hash, so that the numbers do not give the alphabet away.

    >>> redaction = Redaction({"/pacs/export": "INPUT"}, ["Mueller_Anna", "T2"])
    >>> redaction("case Mueller_Anna_T2, /pacs/export/Mueller_Anna/T2/IM0007: damaged")
    'case name_1_T2, INPUT/name_1/T2/IM0007: damaged'
    """

    def __init__(self, places: Mapping[str, str], names: Iterable[str] = ()) -> None:
        self._hidden: dict[str, str] = {}
        for place, told in places.items():
            self._hidden |= dict.fromkeys(_forms(place), told)
        telling = sorted({name for name in map(_composed, names) if is_telling(name)}, key=_hash)
        for number, name in enumerate(telling, 1):
            self._hidden |= {form: f"name_{number}" for form in _forms(name) if form not in self._hidden}
        self._order = sorted(self._hidden, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Replace names in a text by their stand-ins; a name within a longer word stays."""
        if not self._hidden:
            return text
        text = _composed(text)
        for hidden in self._order:
            if hidden in text:
                whole = rf"(?<![^\W\d_]){re.escape(hidden)}(?![^\W\d_])"
                text = re.sub(whole, self._hidden[hidden], text)
        return text


def _forms(name: str) -> set[str]:
    """Return how messages may write a name: as it is, as it is shown, within Python's quotes, and as it becomes a
    case's.
    """
    able = "".join(letter if letter.isprintable() else "_" for letter in name)
    return {_composed(form) for form in (name, shown(name, lines=False), repr(name)[1:-1], able)} - {""}


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
