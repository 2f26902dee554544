"""dataset.json: what a dataset's owner says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmseg_auto.data.images.registry import scan_endings
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.labels import IGNORE_LABEL, MOST_CLASSES, Labels, classes_of, odd_names, odd_regions
from vmseg_auto.utils.names import case_name, close_to
from vmseg_auto.utils.text import listed

_SAY = Callable[[str], None]
_ORDER = "regions_class_order"
OPTIONAL = "optional_channels"
"""The field that names the channels that a case may lack."""
ADVISED_DROPOUT = "channel_dropout=0.3"
"""The setting that is advised for the training on such cases."""
_USED = ("name", "channel_names", "modality", OPTIONAL, "labels", _ORDER, "file_ending", "patients", "numTraining")
_COMPARED = ("numTest", "training", "test")
"""Fields that are held against the files that there are."""
_OF_NNUNET = (
    "description", "reference", "licence", "license", "release", "tensorImageSize",
    "overwrite_image_reader_writer", "converted_by", "dataset_name", "citation", "author",
)  # fmt: skip
"""Fields that its datasets have, and nothing here depends on."""
_LABELS = 'such as {"background": 0, "lesion": 1}'


@dataclass(frozen=True)
class Description:
    """A dataset in its owner's words.

    Args:
        name: None where none is given.
        channels: channel names in order.
        labels: label name -> value; background 0, the others 1, 2, ...; the highest may be `ignore`, the value of
            voxels that nobody has annotated. Labels that are regions hold several values each.
        file_ending: None where none is given.
        patients: case id -> patient, where they are given.
        numbers: numTraining and numTest, where they are given.
        listed: files that training and test list, where they are given.
        unused: keys that nothing is read from, and that nnU-Net does not know either.
        optional: names of the channels that a case may lack; never the first.
    """

    name: str | None
    channels: tuple[str, ...]
    labels: Labels
    file_ending: str | None
    patients: dict[str, str]
    numbers: dict[str, int] = field(default_factory=dict)
    listed: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def classes(self) -> Labels:
        """The labels that a network tells apart: all but `ignore`."""
        return classes_of(self.labels)


def read_description(path: Path) -> Description:
    """Read dataset.json.

    Raises:
        InputError: no valid JSON, or a key stands twice.
        DatasetError: missing or impossible fields, or a field that is a used one but for a letter; all are listed.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise InputError("it must hold an object", file=path, remedy="Write { ... } with channel_names and labels.")
    problems: list[str] = []
    channels = _channels(data, problems.append)
    description = Description(
        name=_text(data, "name", problems.append),
        channels=channels,
        labels=_labels(data, problems.append),
        file_ending=_text(data, "file_ending", problems.append),
        patients=_patients(data, problems.append),
        numbers=_numbers(data, problems.append),
        listed=tuple(file for key in ("training", "test") for file in _files(data.get(key))),
        unused=tuple(key for key in data if key not in (*_USED, *_COMPARED, *_OF_NNUNET)),
        optional=_optional(data.get(OPTIONAL, []), channels, problems.append),
    )
    for key in description.unused:
        if meant := close_to(key, _USED):
            problems.append(f"it has a field {key!r}: is {meant!r} meant? Write it so, or take it out")
    if description.file_ending is not None and description.file_ending not in scan_endings():
        problems.append(f"file_ending is {description.file_ending!r}; it can be {', '.join(scan_endings())}")
    if problems:
        errors = [InputError(problem, file=path) for problem in problems]
        raise DatasetError("the dataset's description can't be used", errors, remedy="Mend dataset.json.")
    return description


def _text(data: dict[str, Any], field: str, say: _SAY) -> str | None:
    value = data.get(field)
    if value is None or isinstance(value, str):
        return value
    say(f"{field} is {value!r}, not a text")
    return None


def _channels(data: dict[str, Any], say: _SAY) -> tuple[str, ...]:
    """Read `channel_names`, or `modality` as older files call it: {"0": "T2", "1": ...}."""
    field = "channel_names" if "channel_names" in data or "modality" not in data else "modality"
    names = data.get(field)
    if names is None:
        say('channel_names is missing; it names each channel, such as {"0": "T2"}')
    elif not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        say(f'{field} is {names!r}; it must name each channel, such as {{"0": "T2"}}')
    elif sorted(names) != sorted(str(number) for number in range(len(names))):
        say(f"{field} must number the channels 0 to {len(names) - 1}, but has {', '.join(sorted(names))}")
    else:
        return tuple(names[str(number)] for number in range(len(names)))
    return ()


def _optional(names: Any, channels: tuple[str, ...], say: _SAY) -> tuple[str, ...]:
    """Read the names of the channels that a case may lack: any but the first, on whose grid masks are drawn."""
    further = channels[1:]
    if isinstance(names, list) and all(name in further for name in names):
        return tuple(name for name in further if name in names)
    there = f"some of {listed(list(further))}" if further else "none, as there is one channel"
    say(f"{OPTIONAL} is {names!r}; it can name {there}")
    return ()


def _labels(data: dict[str, Any], say: _SAY) -> Labels:
    """Name -> value; the older value -> name is turned round. A list of several values makes regions of all labels."""
    nothing = Labels({})
    labels = data.get("labels")
    if labels is None:
        say(f"labels is missing; it gives each label a value, {_LABELS}")
        return nothing
    if not isinstance(labels, dict):
        say(f"labels is {labels!r}; it must give each label a value, {_LABELS}")
        return nothing
    if labels and all(key.isdigit() and isinstance(name, str) for key, name in labels.items()):
        labels = {name: int(key) for key, name in labels.items()}
    if found := _odd_labels(labels):
        for problem in found:
            say(problem)
        return nothing
    if labels.get("background") != 0:
        say('labels has no background; add "background": 0')
    elif len(classes_of(labels)) < 2:
        say(f"labels names nothing but the background; add what is to be segmented, {_LABELS}")
    elif any(isinstance(value, list) and len(value) > 1 for value in labels.values()):
        return _regions(labels, data.get(_ORDER), say)
    else:
        return _classes({name: value[0] if isinstance(value, list) else value for name, value in labels.items()}, say)
    return nothing


def _classes(labels: dict[str, int], say: _SAY) -> Labels:
    """Check labels each of which is a value of its own."""
    values, classes = sorted(labels.values()), classes_of(labels)
    if values != list(range(len(values))):
        say(f"label values must be 0, 1, 2 and so on without gaps, not {', '.join(map(str, values))}")
    elif labels.get(IGNORE_LABEL, values[-1]) != values[-1]:
        say(f'the label "{IGNORE_LABEL}" must have the highest value, {values[-1]}, not {labels[IGNORE_LABEL]}')
    elif len(classes) > MOST_CLASSES:
        say(f"label values can be {MOST_CLASSES - 1} at most, not {max(classes.values())}")
    elif odd := odd_names(labels):
        say(odd)
    return Labels(labels)


def _regions(labels: dict[str, Any], order: Any, say: _SAY) -> Labels:
    """Check labels that overlap: each holds the values in its list, and is written as regions_class_order says."""
    names = [name for name in labels if name not in ("background", IGNORE_LABEL)]
    regions = {name: labels[name] if isinstance(labels[name], list) else [labels[name]] for name in names}
    whole = isinstance(order, list) and all(isinstance(value, int) and not isinstance(value, bool) for value in order)
    if not whole or len(order) != len(names):
        say(
            f"labels that hold several values need {_ORDER}: the values that are written for each of the "
            f"{len(names)} labels, in their order; the last one is written over the others"
        )
        return Labels({})
    held = {name: tuple(sorted({*values})) for name, values in regions.items()}
    found = Labels({"background": 0, **dict(zip(names, order, strict=True))}, held)
    highest = max(value for values in held.values() for value in values)
    if odd := odd_regions(found, held) or odd_names(labels):
        say(odd)
    elif labels.get(IGNORE_LABEL, highest + 1) != highest + 1:
        say(f'the label "{IGNORE_LABEL}" must have the highest value, {highest + 1}, not {labels[IGNORE_LABEL]}')
    return Labels({**found, IGNORE_LABEL: highest + 1}, held) if IGNORE_LABEL in labels else found


def _odd_labels(labels: dict[str, Any]) -> list[str]:
    problems = []
    for name, value in labels.items():
        if name != IGNORE_LABEL and name.strip().casefold() == IGNORE_LABEL:
            problems.append(
                f'label {name!r}: is "{IGNORE_LABEL}" meant, of voxels that nobody has annotated? Write it so'
            )
        elif isinstance(value, list) and name in ("background", IGNORE_LABEL):
            problems.append(f"label {name} has a list of values; it can only be one")
        elif any(isinstance(one, bool) or not isinstance(one, int) for one in (_values(value))):
            problems.append(f"label {name} is {value!r}, not a whole number, nor a list of some")
        elif isinstance(value, list) and 0 in value:
            problems.append(f"label {name} holds 0, which is the background")
    return problems


def _values(value: Any) -> list[Any]:
    """Return the values of a label; of an empty list None, which is no number."""
    return (value or [None]) if isinstance(value, list) else [value]


def _patients(data: dict[str, Any], say: _SAY) -> dict[str, str]:
    """Read case id -> patient; names of cases as utils/names.py writes them."""
    patients = data.get("patients")
    if patients is None:
        return {}
    if not isinstance(patients, dict) or not all(
        isinstance(name, (str, int)) and not isinstance(name, bool) for name in patients.values()
    ):
        say('patients must name the patient of each case, such as {"case_1": "anna"}')
        return {}
    if empty := [case for case, name in patients.items() if not str(name).strip()]:
        say(f"patients gives an empty name to {listed(empty)}: name the patient, or leave the case out")
    named: dict[str, str] = {}
    for case, patient in patients.items():
        if named.setdefault(case_name([case]), str(patient)) != str(patient):
            say(f"patients names the case {case} twice, in two Unicode forms, and gives it two patients")
    return named


def _numbers(data: dict[str, Any], say: _SAY) -> dict[str, int]:
    """Read numTraining and numTest."""
    found = {}
    for key in ("numTraining", "numTest"):
        number = data.get(key)
        if isinstance(number, int) and not isinstance(number, bool):
            found[key] = number
        elif number is not None:
            say(f"{key} is {number!r}, not a whole number")
    return found


def _files(entries: Any) -> list[str]:
    """List the images that older files list: [{"image": FILE, "label": FILE}], or [FILE]. What is not so lists none."""
    entries = entries if isinstance(entries, list) else []
    files = [entry.get("image") if isinstance(entry, dict) else entry for entry in entries]
    return [file for file in files if isinstance(file, str)]
