"""Queued series are predicted: once for what lies there."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
from consoles import Heard
from dicom import grid_of, numbers
from dicom_made import write_series
from pydicom import dcmread
from workspaces import cohort, trained_run

from vmseg_auto.pacs.answer import Model, Options, model_facts, write_answer
from vmseg_auto.pacs.answering import Answering
from vmseg_auto.pacs.events import Events
from vmseg_auto.pacs.incoming import read_incoming
from vmseg_auto.pacs.queue import Queue
from vmseg_auto.utils.atomic import read_json

SHAPE = (8, 16, 16)


def queued(tmp_path: Path) -> tuple[Queue, str]:
    """A queue with one series in it."""
    queue = Queue(tmp_path / "queue")
    for path in write_series(tmp_path / "in", numbers(SHAPE).astype("uint16"), grid_of(SHAPE)).iterdir():
        header = dcmread(path)
        image = read_incoming(path.read_bytes(), header.SOPClassUID, header.SOPInstanceUID)
        queue.add(image, path.read_bytes())
    queue.change(image.series, lambda state: state.moved("queued"))
    return queue, image.series


@pytest.mark.slow
def test_a_series_with_other_images_than_it_was_queued_with_is_judged_again(tmp_path: Path) -> None:
    """Not predicted again and again: an image may be written while its series becomes complete."""
    model = trained_run(cohort(tmp_path, cases=2), "default").folder
    (queue, series), told = queued(tmp_path), Heard()
    facts, options = model_facts(str(model), "cpu", "torch"), Options(("dicom-seg",), device="cpu")
    Answering(queue, Events(told, queue), facts, options, threading.Event()).step()
    assert told.warned == []
    assert queue.state(series).phase == "receiving"
    assert not queue.results(series).exists()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("openvino") is None, reason="the extra openvino is not installed")
def test_the_backend_that_is_asked_for_computes(tmp_path: Path) -> None:
    model = str(trained_run(cohort(tmp_path, cases=2), "default").folder)
    scan = write_series(tmp_path / "in", numbers(SHAPE).astype("uint16"), grid_of(SHAPE))
    facts, plain = model_facts(model, "cpu", "openvino"), model_facts(model, "cpu", "torch")
    assert facts.digest != plain.digest
    for backend, one in (("openvino", facts), ("torch", plain)):
        write_answer(scan, tmp_path / backend, one, Options(("nifti",), device="cpu", backend=backend))
        (record,) = [read_json(path) for path in (tmp_path / backend).glob("*.json")]
        assert record["backend"] == backend


def test_a_series_whose_results_can_not_be_written_is_queued_again_and_told_of_once(tmp_path: Path) -> None:
    (queue, series), told = queued(tmp_path), Heard()
    (queue.folder / "results").write_text("a file in the way of the folder")
    answering = Answering(queue, Events(told, queue), Model("m", "d", "T2"), Options(("dicom-seg",)), threading.Event())
    answering.step()
    answering.step()  # not due yet
    state = queue.state(series)
    assert state.phase == "queued"
    assert state.reason.startswith("it can't be written")
    assert told.warned == [f"{series}: {state.reason}; it is tried again."]
