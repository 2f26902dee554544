"""A log tells nothing of whose scans a command was given, whatever they are called and whatever goes wrong."""

from __future__ import annotations

import re
import unicodedata
import zipfile
from pathlib import Path

import pytest
from raw_dataset import GRID, tiny_image, tiny_mask

from vmseg_auto.cli import evaluate as command
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.redaction import redaction_of
from vmseg_auto.data.scans import find_scans
from vmseg_auto.utils.names import case_name
from vmseg_auto.utils.tables import write_csv

NAMES = ("Müller, Änne", "Nowák_Jo", "00471123", "Santos.Ana", "Marie_Antoinette_von_" * 6, "O'Neill (Pat)", "李小龙")


def test_no_name_of_an_export_is_left(tmp_path: Path) -> None:
    export = tmp_path / "Station Süd" / "export"
    for place, name in enumerate(NAMES):
        form = unicodedata.normalize("NFD", name) if place % 2 else name
        write_image(export / f"{form}.nii.gz", tiny_image(place), GRID)
        (export / form / "T2").mkdir(parents=True)
    with zipfile.ZipFile(export / "disc.zip", "w") as packed:
        packed.writestr("Kowalski_Jan/T2/IM1.dcm", b"no DICOM")
    redaction = redaction_of({"INPUT": [str(export)]}, ["Ahorn*"])
    ids = [case.id for case in find_scans(export, ["T2"]) if not case.id.startswith("disc")]
    assert len(ids) == len(NAMES)
    texts = [f"case {case}, {export}/{case}.nii.gz: it is bad" for case in ids]
    texts += [f"{export / name / 'T2' / 'IM1.dcm'}: damaged; {case_name([name, 'T2'])} is unlike" for name in NAMES]
    texts += [f"arguments: { {'input': str(export), 'series': ['Ahorn*']} }", "case disc_Kowalski_Jan_T2: missing"]
    told = "\n".join(map(redaction, texts))
    words = {
        word for name in (*NAMES, "Kowalski", "Jan", "Station Süd", "Ahorn") for word in re.findall(r"[^\W_]{3,}", name)
    }
    assert not [
        word for word in words if re.search(rf"(?<![^\W_]){word}(?![^\W_])", unicodedata.normalize("NFC", told))
    ]
    assert "INPUT/name_" in told
    assert "T2" in told


def test_masks_lead_to_the_names_of_their_scans(tmp_path: Path) -> None:
    (tmp_path / "export" / "Anna_Ahorn" / "T2").mkdir(parents=True)
    (tmp_path / "masks").mkdir()
    write_csv(
        tmp_path / "masks" / "sources.csv", ("case", "inputs"), [{"case": "Anna_Ahorn_T2", "inputs": "../export"}]
    )
    redaction = redaction_of({"INPUT": [str(tmp_path / "masks")]})
    place = tmp_path / "masks" / "../export/Anna_Ahorn/T2/IM1.dcm"
    assert redaction(f"{place}: damaged") == "INPUT/name_1/T2/IM1.dcm: damaged"


@pytest.mark.parametrize("identity", [False, True])
def test_the_log_of_a_command_that_fails(tmp_path: Path, identity: bool, capsys: pytest.CaptureFixture[str]) -> None:
    masks, drawn = tmp_path / "anna_ahorn" / "masks", tmp_path / "drawn"
    write_mask(masks / "anna_ahorn.nii.gz", tiny_mask(), GRID)
    write_mask(drawn / "ben_birke.nii.gz", tiny_mask(), GRID)
    arguments = ["-p", str(masks), "-r", str(drawn), *["--with-identity"] * identity]
    assert command.main(arguments) == 2
    assert "ben_birke" in capsys.readouterr().err
    (log,) = (masks / "logs").iterdir()
    text = log.read_text(encoding="utf-8")
    assert ("ben_birke" in text) == identity
    assert ("anna_ahorn" in text) == identity
    assert ("PREDICTIONS" in text) != identity
