"""dataset.json is read as nnU-Net writes it; what can't be used is said, all at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from raw_dataset import describe

from vmseg_auto.data.dataset_json import Description, read_description
from vmseg_auto.utils.errors import DatasetError, InputError


def test_a_full_description_is_read(tmp_path: Path) -> None:
    path = describe(
        tmp_path,
        name="cohort",
        channel_names={"1": "FLAIR", "0": "T2"},
        labels={"vm": 1, "background": 0, "phlebolith": 2},
        patients={"a": "anna", "b": 17},
        numTraining=3,
        overwrite_image_reader_writer="SimpleITKIO",
    )
    assert read_description(path) == Description(
        name="cohort",
        channels=("T2", "FLAIR"),
        labels={"vm": 1, "background": 0, "phlebolith": 2},
        file_ending=".nii.gz",
        patients={"a": "anna", "b": "17"},
        numbers={"numTraining": 3},
    )


def test_the_older_form_is_read(tmp_path: Path) -> None:
    path = describe(
        tmp_path, channel_names=None, modality={"0": "MRI"}, labels={"0": "background", "1": "a", "2": "b"},
        file_ending=None,
    )  # fmt: skip
    assert read_description(path) == Description(None, ("MRI",), {"background": 0, "a": 1, "b": 2}, None, {})


def regions(labels: dict[str, Any], order: list[Any]) -> dict[str, Any]:
    return {"labels": {"background": 0, **labels}, "regions_class_order": order}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channel_names": None}, "channel_names is missing"),
        ({"channel_names": ["T2"]}, r"channel_names is \['T2'\]; it must name each channel"),
        ({"channel_names": {}}, "it must name each channel"),
        ({"channel_names": {"0": 1}}, "it must name each channel"),
        ({"channel_names": {"0": "T2", "2": "T1"}}, "must number the channels 0 to 1, but has 0, 2"),
        ({"labels": None}, "labels is missing"),
        ({"labels": ["vm"]}, "it must give each label a value"),
        ({"labels": {"vm": 1}}, "labels has no background"),
        ({"labels": {"background": 1, "vm": 0}}, "labels has no background"),
        ({"labels": {"background": 0}}, "names nothing but the background"),
        ({"labels": {}}, "labels has no background"),
        (
            {"labels": {"background": 0, "whole": [1, 2], "core": 2}},
            "need regions_class_order: .* each of the 2 labels",
        ),
        (regions({"whole": [1, 2], "core": 2}, [1]), "need regions_class_order"),
        (regions({"whole": [1, 2], "core": 2}, [1, True]), "need regions_class_order"),
        (regions({"whole": [1, 3], "core": 3}, [1, 3]), "together must be 1, 2, 3 and so on without gaps, not 1, 3"),
        (regions({"whole": [1, 2], "core": 2}, [2, 1]), "region core is written as 1, which is none of its values"),
        (regions({"whole": [1, 2], "core": 2}, [2, 2]), "two regions are written as the same value"),
        (regions({"whole": [1, 2], "all": [2, 1]}, [1, 2]), "two regions hold the same values"),
        (regions({"whole": [0, 1], "core": 1}, [1, 1]), "label whole holds 0, which is the background"),
        (regions({"whole": [], "core": [1, 2]}, [1, 2]), r"label whole is \[\], not a whole number"),
        (regions({"whole": [1, 2], "core": 2, "ignore": 4}, [1, 2]), '"ignore" must have the highest value, 3, not 4'),
        ({"labels": {"background": 0, "vm": 2, "ignore": 1}}, 'label "ignore" must have the highest value, 2, not 1'),
        ({"labels": {"background": 0, "vm": 1, "ignore": 3}}, "without gaps, not 0, 1, 3"),
        ({"labels": {"background": 0, "ignore": 1}}, "names nothing but the background"),
        ({"labels": {"background": 0, "vm": 1, "Ignore": 2}}, "label 'Ignore': is \"ignore\" meant"),
        ({"labels": {"background": 0, "vm": 1, "ignore": [2]}}, "ignore has a list of values"),
        ({"labels": {"background": 0, "vm": 2}}, "without gaps, not 0, 2"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "without gaps, not 0, 1, 1"),
        ({"labels": {"background": 0, "vm": "1"}}, "label vm is '1', not a whole number"),
        ({"labels": {"background": 0, "vm": True}}, "label vm is True, not a whole number"),
        ({"labels": {"background": 0, "vm": 1.5}}, "label vm is 1.5, not a whole number"),
        ({"labels": {"background": 0, **{str(n): n for n in range(1, 256)}}}, "254 at most, not 255"),
        ({"file_ending": ".bmp"}, "file_ending is '.bmp'; it can be .nii.gz"),
        ({"file_ending": 3}, "file_ending is 3, not a text"),
        ({"name": 3}, "name is 3, not a text"),
        ({"patients": ["a"]}, "patients must name the patient of each case"),
        ({"patients": {"a": ["b"]}}, "patients must name the patient of each case"),
        ({"patients": {"a": "", "b": "x", "c": " "}}, "patients gives an empty name to a, c"),
        ({"patients": {"K\u00e4se": "a", "Ka\u0308se": "b"}}, "twice, in two Unicode forms"),
        ({"Patients": {"a": "b"}}, "has a field 'Patients': is 'patients' meant"),
        ({"label": {}}, "has a field 'label': is 'labels' meant"),
        ({"fileEnding": ".nii"}, "has a field 'fileEnding': is 'file_ending' meant"),
        ({"numTraining": "3"}, "numTraining is '3', not a whole number"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = describe(tmp_path, **changes)
    with pytest.raises(DatasetError, match=words) as caught:
        read_description(path)
    assert [error.file for error in caught.value.errors] == [path]


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = describe(tmp_path, channel_names=3, labels={"background": 0, "a": "1", "IGNORE": 2}, file_ending="x", name=1)
    with pytest.raises(DatasetError) as caught:
        read_description(path)
    assert len(caught.value.errors) == 5


def test_fields_that_say_nothing_here_are_told_apart_from_those_of_nnunet(tmp_path: Path) -> None:
    path = describe(tmp_path, description="VM", licence="CC0", numTest=0, hospital="A", colour="grey")
    assert read_description(path).unused == ("hospital", "colour")


def test_the_two_forms_of_an_accent_are_one_case(tmp_path: Path) -> None:
    path = describe(tmp_path, patients={"Ka\u0308se": "anna"})
    assert read_description(path).patients == {"K\u00e4se": "anna"}


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text('{"patients": {"a": "p", "b": "p", "a": "q"}}')
    with pytest.raises(InputError, match="the key 'a' stands in it twice"):
        read_description(path)


@pytest.mark.parametrize(("text", "words"), [("{", "no valid JSON"), ("[]", "must hold an object")])
def test_broken_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_description(path)


def test_the_shared_datasets_are_read(shared_data: Path) -> None:
    for name in ("hippocampus53", "vmsemi53", "neck_cord"):
        path = shared_data / name / "dataset.json"
        given = read_description(path)
        assert given.labels == json.loads(path.read_text())["labels"]
        assert len(given.channels) == 1


def test_ignored_voxels_have_a_label_and_are_no_class(tmp_path: Path) -> None:
    found = read_description(describe(tmp_path, labels={"background": 0, "vm": 1, "ignore": 2}))
    assert found.labels == {"background": 0, "vm": 1, "ignore": 2}
    assert found.classes == {"background": 0, "vm": 1}
    most = {"background": 0, **{str(n): n for n in range(1, 255)}, "ignore": 255}
    assert read_description(describe(tmp_path, labels=most)).labels == most
