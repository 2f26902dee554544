"""The queue on the disk: what is told to others lies there before, and what lies there is gone on from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dicom import grid_of, numbers
from dicom_made import write_series
from pydicom import dcmread
from small_disk import fill, small_disk

from vmseg_auto.pacs.incoming import NO_ROOM, TWO_PATIENTS, ImageHeader, RefusedError, read_incoming
from vmseg_auto.pacs.queue import Queue
from vmseg_auto.pacs.states import Phase, SeriesState, pseudonym
from vmseg_auto.utils.atomic import read_stored

SHAPE = (4, 6, 7)


def images(folder: Path, seed: int = 0, **texts: Any) -> list[tuple[ImageHeader, bytes]]:
    """The images of a series as they come over the network."""
    write_series(folder, numbers(SHAPE, seed).astype("uint16"), grid_of(SHAPE), **texts)
    found = []
    for path in sorted(folder.iterdir()):
        header = dcmread(path)
        found.append((read_incoming(path.read_bytes(), header.SOPClassUID, header.SOPInstanceUID), path.read_bytes()))
    return found


def added(queue: Queue, several: list[tuple[ImageHeader, bytes]]) -> str:
    for header, data in several:
        queue.add(header, data)
    return several[0][0].series


def stored(queue: Queue, series: str) -> SeriesState:
    return read_stored(SeriesState, queue.state_file(series))


def test_an_image_and_its_state_are_on_the_disk_when_it_is_taken(tmp_path: Path) -> None:
    queue, several = Queue(tmp_path / "queue"), images(tmp_path / "in")
    for count, (header, data) in enumerate(several, 1):
        queue.add(header, data)
        assert stored(queue, header.series).phase == "receiving"
        assert queue.content(header.series)[0] == count
    series = several[0][0].series
    assert {path.read_bytes() for path in queue.images(series)} == {data for _, data in several}


def test_nothing_in_names_and_states_tells_who_it_is(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    series = added(queue, images(tmp_path / "in", PatientID="47110815", PatientName="Mustermann^Erika"))
    first = dcmread(next((tmp_path / "in").iterdir()))
    text = " ".join(str(path) for path in queue.folder.rglob("*")) + queue.state_file(series).read_text()
    assert series == pseudonym(first.StudyInstanceUID, first.SeriesInstanceUID)
    for told in ("47110815", "Mustermann", first.StudyInstanceUID, first.SeriesInstanceUID, first.SOPInstanceUID):
        assert told not in text


def test_the_same_images_again_are_the_same_content(tmp_path: Path) -> None:
    queue, several = Queue(tmp_path / "queue"), images(tmp_path / "in")
    series = added(queue, several)
    before = queue.content(series)
    written = [path.stat().st_mtime_ns for path in queue.images(series)]
    queue.change(series, lambda state: state.moved("answered"))
    added(queue, several[::-1])
    assert stored(queue, series).phase == "receiving"
    assert [path.stat().st_mtime_ns for path in queue.images(series)] == written
    assert queue.content(series) == before
    changed = images(tmp_path / "in", seed=1)
    queue.add(*changed[0])
    assert queue.content(series) != before


def test_a_second_patient_in_a_study_is_refused_and_the_study_not_answered(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    series = added(queue, images(tmp_path / "in"))
    header, data = images(tmp_path / "in", PatientID="18")[0]
    with pytest.raises(RefusedError, match="two patients") as refused:
        queue.add(header, data)
    assert refused.value.status == TWO_PATIENTS
    assert stored(queue, series).phase == "refused"
    assert stored(queue, series).reason == "its study holds images of two patients"
    later = Queue(tmp_path / "queue")  # the next start knows it too
    later.recover()
    with pytest.raises(RefusedError, match="two patients"):
        later.add(header, data)


@pytest.mark.parametrize("phase", ["receiving", "queued", "predicting", "sending", "answered"])
def test_a_study_of_two_patients_takes_no_image_until_it_is_purged(phase: Phase, tmp_path: Path) -> None:
    queue, first = Queue(tmp_path / "queue"), images(tmp_path / "in")
    series = added(queue, first)
    queue.change(series, lambda state: state.moved(phase))
    second = images(tmp_path / "in", PatientID="18")
    with pytest.raises(RefusedError, match="two patients"):
        queue.add(*second[0])
    ended = "answered" if phase == "answered" else "refused"
    later = Queue(tmp_path / "queue")
    later.recover()
    for one in (queue, later):
        for header, data in (first[0], second[0]):
            with pytest.raises(RefusedError, match="two patients"):
                one.add(header, data)
        assert one.state(series).phase == ended
    assert later.purge(0) == [series]
    added(later, second)
    assert later.state(series).phase == "receiving"


def test_a_full_disk_refuses_and_leaves_what_was_taken(tmp_path: Path) -> None:
    several = images(tmp_path / "in")
    with small_disk(tmp_path / "disk", 500) as disk:
        queue = Queue(disk / "queue")
        queue.add(*several[0])
        series = several[0][0].series
        fill(disk, leave=0)
        with pytest.raises(RefusedError) as refused:
            queue.add(*several[1])
        assert refused.value.status == NO_ROOM
        assert len(queue.images(series)) == 1
        assert stored(queue, series).phase == "receiving"
        (disk / "filler").unlink()
        added(queue, several)
        assert len(queue.images(series)) == len(several)


def test_little_room_is_no_room(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="too little is free") as refused:
        Queue(tmp_path / "queue", free_gb=1e9).add(*images(tmp_path / "in")[0])
    assert refused.value.status == NO_ROOM
    assert not (tmp_path / "queue").exists()


def test_the_next_start_goes_on_from_what_lies_there(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    series = added(queue, images(tmp_path / "in"))
    queue.results(series).mkdir(parents=True)
    (queue.results(series) / f"{series}.dcm").write_bytes(b"result")
    queue.change(series, lambda state: replace(state.moved("sending"), answer="x", link="released"))
    other = added(queue, images(tmp_path / "other"))
    later = Queue(tmp_path / "queue")
    assert later.recover() == []
    assert later.state(series) == queue.state(series)
    assert later.state(other).link == "broken"  # its peer may not have sent all
    (later.results(series) / f"{series}.dcm").unlink()
    last = Queue(tmp_path / "queue")
    last.recover()
    assert (last.state(series).phase, last.state(series).answer) == ("queued", "")


def test_what_was_being_predicted_is_queued_at_the_next_start(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    series = added(queue, images(tmp_path / "in"))
    queue.change(series, lambda state: state.moved("predicting", "it crashed once"))
    later = Queue(tmp_path / "queue")
    later.recover()
    assert (later.state(series).phase, later.state(series).reason) == ("queued", "it crashed once")


def test_a_state_without_images_is_none_and_a_damaged_one_is_made_anew(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    series, other = (added(queue, images(tmp_path / name)) for name in ("in", "other"))
    for path in queue.images(series):
        path.unlink()
    queue.state_file(other).write_text('{"series": "', encoding="utf-8")
    later = Queue(tmp_path / "queue")
    assert later.recover() == [other]
    assert [(state.series, state.phase) for state in later.all()] == [(other, "receiving")]
    assert later.state(other).study == queue.state(other).study


def test_old_scans_and_results_are_deleted_and_their_states_stay(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    old, new, open_ = (added(queue, images(tmp_path / name)) for name in ("old", "new", "open"))
    for series, day in ((old, "2020-01-01"), (new, "2999-01-01")):
        queue.change(series, lambda state, day=day: replace(state.moved("answered"), changed=f"{day}T00:00:00+00:00"))  # type: ignore[misc]
    queue.results(old).mkdir(parents=True)
    (queue.results(old) / "a.dcm").write_bytes(b"")
    assert queue.purge(30) == [old]
    assert queue.purge(30) == []
    assert not queue.scan(old).exists()
    assert not queue.results(old).exists()
    assert stored(queue, old).phase == "answered"
    assert queue.images(new)
    assert queue.images(open_)


def test_a_full_disk_is_purged_and_the_next_start_goes_on_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 500) as disk:
        queue = Queue(disk / "queue")
        old, new = (added(queue, images(tmp_path / name)) for name in ("old", "new"))
        queue.change(old, lambda state: state.moved("answered"))
        fill(disk, leave=0)
        later = Queue(disk / "queue")
        assert later.recover() == []
        assert later.state(new).link == "broken"
        assert later.purge(0) == [old]
        assert not later.images(old)
        later.add(*images(tmp_path / "next")[0])  # there is room again


def test_a_start_writes_no_state_that_holds_as_it_is(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    series = added(queue, images(tmp_path / "in"))
    queue.ended([series], "released")
    before = queue.state_file(series).stat()
    later = Queue(tmp_path / "queue")
    later.recover()
    assert later.state(series) == queue.state(series)
    assert queue.state_file(series).stat().st_mtime_ns == before.st_mtime_ns


def test_reports_are_sent_after_the_segmentation_that_they_refer_to(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.results("s").mkdir(parents=True)
    for name in ("s.rtstruct.dcm", "s.sc.dcm", "s.sr.dcm", "s.dcm", "s.json", "volumes.csv"):
        (queue.results("s") / name).write_bytes(b"")
    assert [path.name for path in queue.to_send("s")] == ["s.dcm", "s.rtstruct.dcm", "s.sc.dcm", "s.sr.dcm"]
