"""Files of torch.save from elsewhere: tensors, numbers and texts come in, anything else is named and stays out."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch
from trap import Trap

from vmseg_auto.models.safe_archive import load_archive
from vmseg_auto.utils.errors import InputError


def load(path: Path, **options: Any) -> Any:
    return load_archive(path, missing="Make it.", remedy="Get another.", **options)


def test_tensors_numbers_and_texts_come_back(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(3), "b": [1, 2.5, "text", None, (True,)]}, tmp_path / "c.pt")
    found = load(tmp_path / "c.pt")
    assert torch.equal(found["a"], torch.arange(3))
    assert found["b"] == [1, 2.5, "text", None, (True,)]


def test_other_objects_are_named_and_never_made(tmp_path: Path) -> None:
    torch.save({"a": Trap(tmp_path / "sprung")}, tmp_path / "c.pt")
    with pytest.raises(InputError, match=rf"it holds {os.mkdir.__module__}\.mkdir, and objects other than .* never"):
        load(tmp_path / "c.pt")
    assert not (tmp_path / "sprung").exists()
    torch.load(tmp_path / "c.pt", weights_only=False)
    assert (tmp_path / "sprung").exists(), "the trap itself works"


def test_a_stand_in_is_called_in_place_of_what_is_named_there_and_for_one_file_only(tmp_path: Path) -> None:
    torch.save([timedelta(days=3)], tmp_path / "c.pt")
    assert load(tmp_path / "c.pt", stand_ins=[(lambda days, *rest: f"not {days}", "datetime.timedelta")]) == ["not 3"]
    with pytest.raises(InputError, match=r"it holds datetime\.timedelta, .* never loaded"):
        load(tmp_path / "c.pt")


def test_numbers_of_numpy_are_no_exception(tmp_path: Path) -> None:
    torch.save(np.float32(1), tmp_path / "c.pt")
    with pytest.raises(InputError, match=r"multiarray\.scalar, numpy\.dtype"):
        load(tmp_path / "c.pt")


def test_a_compressed_entry_is_refused_before_it_can_grow(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(100_000)}, tmp_path / "c.pt")
    with ZipFile(tmp_path / "c.pt") as plain, ZipFile(tmp_path / "z.pt", "w", ZIP_DEFLATED) as packed:
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    with pytest.raises(InputError, match=r"elsewhere: .c/data.pkl. is compressed.*Get another"):
        load(tmp_path / "z.pt")


def test_a_missing_file_has_its_own_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist\. Make it\."):
        load(tmp_path / "c.pt")
