"""What is refused of what comes over the network, and with which status."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO

import pytest
from dicom import numbers, series
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage

from vmseg_auto.pacs.incoming import MISMATCH, NO_SUCH_CLASS, UNREADABLE, RefusedError, read_incoming


def encoded(data: Dataset) -> bytes:
    file = BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def image(**texts: str) -> Dataset:
    return series(numbers(), **texts)[0]


def status(data: bytes, sop_class: str, instance: str) -> int:
    with pytest.raises(RefusedError) as refused:
        read_incoming(data, sop_class, instance)
    return refused.value.status


def test_an_image_is_known_by_hashes_of_its_uids() -> None:
    data = image(PatientID="17", NumberOfSeriesRelatedInstances="5")
    header = read_incoming(encoded(data), MRImageStorage, data.SOPInstanceUID)
    assert header.announced == 5
    assert header.uids == ("1.2", "1.2.1")
    assert "1.2.1" not in header.series + header.study + header.instance


@pytest.mark.parametrize("count", ["", "0", "-3", "many"])
def test_a_number_of_images_that_is_none_is_not_taken(count: str) -> None:
    data = image()
    data.add_new("NumberOfSeriesRelatedInstances", "LO", count)
    assert read_incoming(encoded(data), MRImageStorage, data.SOPInstanceUID).announced is None


def test_each_refusal_has_its_status() -> None:
    data = image()
    whole, instance = encoded(data), data.SOPInstanceUID
    assert status(whole, CTImageStorage, instance) == NO_SUCH_CLASS
    assert status(whole, MRImageStorage, "1.2.3.99") == MISMATCH
    assert status(b"", MRImageStorage, instance) == UNREADABLE
    del data.SeriesInstanceUID
    assert status(encoded(data), MRImageStorage, instance) == UNREADABLE


@given(st.binary(max_size=400), st.integers(0, 700))
def test_hostile_bytes_are_refused_by_a_status(noise: bytes, at: int) -> None:
    data = image()
    whole = bytearray(encoded(data))
    whole[at : at + len(noise)] = noise
    with suppress(RefusedError):
        read_incoming(bytes(whole), MRImageStorage, data.SOPInstanceUID)
