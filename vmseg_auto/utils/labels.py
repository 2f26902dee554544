"""Labels (name -> value): what they must be, and how their names become parts of files' names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.names import case_name, key

IGNORE_LABEL = "ignore"
"""The label of voxels that nobody has annotated, as nnU-Net calls it in dataset.json. It is no class: no network learns
or predicts it."""
IGNORE = 255
"""What these voxels hold once a mask is read, whatever their value in its file."""
MOST_CLASSES = 255
"""Background included, so that none has the value of IGNORE."""
_LONGEST = 100


def file_part(label: str) -> str:
    """Return a label's name as that of a file or folder: it leads nowhere else, is not too long, and can be one in
    Windows.

    >>> file_part("malformation/left")
    'malformation_left'
    """
    able = re.sub(r'[/\\:*?"<>|]', "_", label)
    return case_name([re.sub(r"[. ]+$", "_", able)])


def classes_of(labels: Mapping[str, int]) -> dict[str, int]:
    """Return the labels that a network tells apart: all but `ignore`.

    >>> classes_of({"background": 0, "lesion": 1, "ignore": 2})
    {'background': 0, 'lesion': 1}
    """
    return {name: value for name, value in labels.items() if name != IGNORE_LABEL}


def labels_in_words(labels: Mapping[str, int]) -> str:
    """List labels with their values, such as "lesion 1, vein 2"; without the background.

    >>> labels_in_words({"background": 0, "lesion": 1, "vein": 2})
    'lesion 1, vein 2'
    """
    return ", ".join(f"{name} {value}" for name, value in labels.items() if value)


def odd_names(labels: Collection[str]) -> str | None:
    """Describe what is wrong with labels' names, where a screen or a file's name could not show them; None where
    nothing is.
    """
    for name in labels:
        if not 0 < len(name) <= _LONGEST or not name.isprintable():
            return f"label {name[:40]!r} needs a name of 1 to {_LONGEST} plain letters"
    if len({key(file_part(name)) for name in labels}) < len(labels):
        return "two labels' names differ only in capitals, or in what the name of a file can't hold"
    return None


def check_labels(labels: Mapping[str, int], where: str) -> None:
    """Refuse what can't be a model's labels.

    Raises:
        InputError: values other than 0, 1, 2, ... up to 254 at most, odd names, or `ignore` among them.
    """
    remedy = "Mend the labels, or restore the file."
    if sorted(labels.values()) != list(range(len(labels))) or not 2 <= len(labels) <= MOST_CLASSES:
        problem = f"{where} must have the values 0, 1, 2 and so on, up to {MOST_CLASSES - 1} at most"
        raise InputError(problem, remedy=remedy)
    if IGNORE_LABEL in labels:
        raise InputError(f'{where}: "{IGNORE_LABEL}" is no class that a model can have', remedy=remedy)
    if odd := odd_names(labels):
        raise InputError(f"{where}: {odd}", remedy=remedy)


def unnamed_labels(values: Collection[int]) -> dict[str, int]:
    """Return the labels of masks of which nothing tells the names, without the background.

    One value, be it 1 or 255, is a lesion, and so is none; so are the two where some masks write 1 and others 255.
    Several are numbered.

    >>> unnamed_labels({0, 255}), unnamed_labels({0, 1, 2})
    ({'lesion': 1}, {'label_1': 1, 'label_2': 2})
    """
    found = sorted({*values} - {0})
    return {"lesion": 1} if found in ([], [1], [255], [1, 255]) else {f"label_{value}": value for value in found}
