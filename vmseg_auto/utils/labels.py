"""Labels (name -> value): what they must be, and how their names become parts of files' names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

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


class Labels(dict[str, int]):
    """Labels (name -> value) of which some may be regions: labels that hold several values, and so overlap.

    As in nnU-Net, where one label is a region all are. A network then says of each whether it is there, and prediction
    writes the labels' values one after another, in the order in which they are listed: the last one counts. What of a
    mask is in a label is told by all the values that it holds, and never by its own value alone (`values_of`).

    Args:
        values: name -> the value that is written; background 0.
        regions: name -> the values that it holds, of each label but the background; none where each label is a value of
            its own.

    Example:
        >>> labels = Labels({"background": 0, "whole": 1, "core": 2}, {"whole": (1, 2), "core": (2,)})
        >>> labels.regions["whole"], labels == {"background": 0, "whole": 1, "core": 2}
        ((1, 2), False)
    """

    def __init__(self, values: Mapping[str, int], regions: Mapping[str, Iterable[int]] | None = None) -> None:
        super().__init__(values)
        self.regions = {name: tuple(held) for name, held in (regions or {}).items()}

    def __eq__(self, other: object) -> bool:
        """Regions are the same in the same order alone, which is that of the network's outputs."""
        if not self.regions and not regions_of(other):
            return dict.__eq__(self, other)
        theirs = list(other.items()) if isinstance(other, dict) else None
        return list(self.items()) == theirs and list(self.regions.items()) == list(regions_of(other).items())

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def to_json(self) -> dict[str, object]:
        """Return name -> value, and of a region {"value": 1, "holds": [1, 2]}."""
        return {
            name: {"value": value, "holds": list(self.regions[name])} if name in self.regions else value
            for name, value in self.items()
        }


def regions_of(labels: object) -> dict[str, tuple[int, ...]]:
    """Return name -> the values that it holds, of labels that overlap; nothing where each is a value of its own."""
    return labels.regions if isinstance(labels, Labels) else {}


def foreground_labels(labels: Mapping[str, int]) -> list[str]:
    """Return the labels but background and `ignore`, in the order of a network's outputs: that of their values, and of
    regions as they are listed.

    >>> foreground_labels({"background": 0, "vein": 2, "lesion": 1, "ignore": 3})
    ['lesion', 'vein']
    """
    names = [name for name, value in labels.items() if value and name != IGNORE_LABEL]
    return names if regions_of(labels) else sorted(names, key=labels.__getitem__)


def values_of(labels: Mapping[str, int], name: str) -> tuple[int, ...]:
    """Return the values of a mask's voxels that are in a label.

    >>> values_of(Labels({"background": 0, "whole": 1, "core": 2}, {"whole": (1, 2), "core": (2,)}), "whole")
    (1, 2)
    """
    return regions_of(labels).get(name, (labels[name],))


def written_values(labels: Mapping[str, int]) -> list[int]:
    """Return what a mask holds for the background, and for each label in the order of a network's outputs.

    >>> written_values({"background": 0, "vein": 2, "lesion": 1})
    [0, 1, 2]
    """
    return [0, *(labels[name] for name in foreground_labels(labels))]


def value_names(labels: Mapping[str, int]) -> dict[int, str]:
    """Return what a voxel of each value but 0 is: the label's name, or those of all regions that hold the value.

    >>> value_names(Labels({"background": 0, "whole": 1, "core": 2}, {"whole": (1, 2), "core": (2,)}))
    {1: 'whole', 2: 'whole + core'}
    """
    values = sorted(mask_values(labels) - {0})
    names = [name for name, value in labels.items() if value]
    return {value: " + ".join(name for name in names if value in values_of(labels, name)) for value in values}


def values_without(labels: Mapping[str, int], name: str) -> dict[int, int]:
    """Return what a voxel becomes that is taken out of a label: each of the label's values -> another one.

    It stays in as many of its other regions as there is a value for; where there is none it becomes background.

    >>> nested = Labels({"background": 0, "whole": 1, "core": 2}, {"whole": (1, 2), "core": (2,)})
    >>> values_without(nested, "core"), values_without(nested, "whole"), values_without({"lesion": 1}, "lesion")
    ({2: 1}, {1: 0, 2: 0}, {1: 0})
    """
    regions = regions_of(labels)
    held = {value: {one for one in regions if value in regions[one]} for value in sorted(mask_values(labels) - {0})}

    def best(value: int) -> int:
        able = [other for other, of in held.items() if of and of <= held[value] - {name}]
        return max(able, key=lambda other: len(held[other]), default=0)

    return {value: best(value) for value in values_of(labels, name)}


def mask_values(labels: Mapping[str, int]) -> set[int]:
    """Return all values that a mask may hold.

    >>> mask_values({"background": 0, "lesion": 1, "ignore": 2}) == {0, 1, 2}
    True
    """
    return {*labels.values(), *(value for held in regions_of(labels).values() for value in held)}


def output_regions(labels: Mapping[str, int]) -> tuple[tuple[int, ...], ...]:
    """Return the values that each of a network's outputs stands for where labels overlap; nothing where they do not."""
    regions = regions_of(labels)
    return tuple(regions[name] for name in foreground_labels(labels)) if regions else ()


def count_outputs(labels: Mapping[str, int]) -> int:
    """Count a network's outputs: one for each class, background included, or one for each region.

    >>> count_outputs({"background": 0, "lesion": 1})
    2
    """
    return len(foreground_labels(labels)) + (not regions_of(labels))


def refuse_regions(labels: Mapping[str, int], what: str) -> None:
    """Refuse labels that overlap where that is not possible yet.

    Args:
        what: names what can't be done, such as "vmseg_review".

    Raises:
        InputError: some label is a region.
    """
    if regions := regions_of(labels):
        raise InputError(
            f"{what} is not possible yet with labels that are regions ({', '.join(regions)})",
            remedy="Give each label one value of its own in dataset.json, or do without it.",
        )


def file_part(label: str) -> str:
    """Return a label's name as that of a file or folder: it leads nowhere else, is not too long, and can be one in
    Windows.

    >>> file_part("malformation/left")
    'malformation_left'
    """
    able = re.sub(r'[/\\:*?"<>|]', "_", label)
    return case_name([re.sub(r"[. ]+$", "_", able)])


def classes_of(labels: Mapping[str, int]) -> Labels:
    """Return the labels that a network tells apart: all but `ignore`.

    >>> classes_of({"background": 0, "lesion": 1, "ignore": 2})
    {'background': 0, 'lesion': 1}
    """
    return Labels({name: value for name, value in labels.items() if name != IGNORE_LABEL}, regions_of(labels))


def without_background(labels: Mapping[str, int]) -> Labels:
    """Return the labels without the background.

    >>> without_background({"background": 0, "lesion": 1})
    {'lesion': 1}
    """
    return Labels({name: value for name, value in labels.items() if value}, regions_of(labels))


def labels_in_words(labels: Mapping[str, int]) -> str:
    """List labels with their values, such as "lesion 1, vein 2"; without the background.

    >>> labels_in_words({"background": 0, "lesion": 1, "vein": 2})
    'lesion 1, vein 2'
    """
    regions = {name: "+".join(map(str, held)) for name, held in regions_of(labels).items()}
    return ", ".join(f"{name} {regions.get(name, value)}" for name, value in labels.items() if value)


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
    if regions := regions_of(labels):
        if odd := odd_regions(labels, regions):
            raise InputError(f"{where}: {odd}", remedy=remedy)
    elif sorted(labels.values()) != list(range(len(labels))) or not 2 <= len(labels) <= MOST_CLASSES:
        problem = f"{where} must have the values 0, 1, 2 and so on, up to {MOST_CLASSES - 1} at most"
        raise InputError(problem, remedy=remedy)
    if IGNORE_LABEL in labels:
        raise InputError(f'{where}: "{IGNORE_LABEL}" is no class that a model can have', remedy=remedy)
    if odd := odd_names(labels):
        raise InputError(f"{where}: {odd}", remedy=remedy)


def odd_regions(labels: Mapping[str, int], regions: Mapping[str, tuple[int, ...]]) -> str | None:
    """Describe what is wrong with labels that overlap; None where nothing is.

    Args:
        labels: name -> the value that is written; without `ignore`.
        regions: name -> the values that it holds, of all but the background.
    """
    values = sorted({value for held in regions.values() for value in held})
    written = [labels.get(name) for name in regions]
    if labels.get("background") != 0 or set(regions) != set(labels) - {"background"} or not regions:
        return "regions need a background 0, and every other label the values that it holds"
    if values != list(range(1, len(values) + 1)) or len(values) >= MOST_CLASSES:
        return f"the values of all labels together must be 1, 2, 3 and so on without gaps, not {_listed(values)}"
    if len({frozenset(held) for held in regions.values()}) < len(regions):
        return "two regions hold the same values"
    if len(set(written)) < len(written):
        return "two regions are written as the same value"
    for name, held in regions.items():
        if labels[name] not in held:
            return f"region {name} is written as {labels[name]}, which is none of its values ({_listed(held)})"
    return None


def unnamed_labels(values: Collection[int]) -> dict[str, int]:
    """Return the labels of masks of which nothing tells the names, without the background.

    One value, be it 1 or 255, is a lesion, and so is none; so are the two where some masks write 1 and others 255.
    Several are numbered.

    >>> unnamed_labels({0, 255}), unnamed_labels({0, 1, 2})
    ({'lesion': 1}, {'label_1': 1, 'label_2': 2})
    """
    found = sorted({*values} - {0})
    return {"lesion": 1} if found in ([], [1], [255], [1, 255]) else {f"label_{value}": value for value in found}


def _listed(values: Iterable[int]) -> str:
    return ", ".join(map(str, values))
