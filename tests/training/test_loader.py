"""Batches depend on their number alone, never on who makes them."""

from __future__ import annotations

import gc
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import Fails, IsKilled, LooksAtAll, SeedIntoImage, TellsTorch, WholeCase, flat_case, prepare, tiny_case

from vmseg_auto.training.augmentation.copy_paste import CopyPaste
from vmseg_auto.training.augmentation.cpu import PatchAugmentation, read_shape
from vmseg_auto.training.loader import Batch, BatchLoader, BatchSource
from vmseg_auto.training.sampling import PatchSampler
from vmseg_auto.utils.errors import InputError, VmsegError

PATCH = (8, 16, 16)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> BatchSource:
    """Three cases on disk, of which two are drawn from; voxel [0, 0, 0, 2] tells the case."""
    folder = tmp_path_factory.mktemp("preprocessed")
    prepare(folder, [flat_case("a", 1), flat_case("b", 2), flat_case("validation", 3)])
    return BatchSource(
        folder=folder,
        cases=("a", "b"),
        sampler=WholeCase(),
        augment=SeedIntoImage(),
        foreground=(False, False, True),
        stream=(5, 1),
    )


def made_here(source: BatchSource, start: int, stop: int) -> list[Batch]:
    cases = source.open()
    return [source.batch(cases, number) for number in range(start, stop)]


def equal(ours: list[Batch], theirs: list[Batch]) -> bool:
    return len(ours) == len(theirs) and all(
        np.array_equal(a, b) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)
    )


def test_shape_and_type(source: BatchSource) -> None:
    ((image, label, *_),) = made_here(source, 0, 1)
    assert (image.shape, image.dtype) == ((3, 1, 4, 5, 6), np.float32)
    assert (label.shape, label.dtype) == ((3, 4, 5, 6), np.uint8)


def test_foreground_is_asked_for_where_it_should_be(source: BatchSource) -> None:
    for _, label, *_ in made_here(source, 0, 3):
        assert label[:, 0, 0, 0].tolist() == [100, 100, 101]


def test_no_two_samples_repeat(source: BatchSource) -> None:
    batches = made_here(source, 0, 40)
    draws = np.concatenate([image[:, 0, 0, 0, 0] for image, *_ in batches])
    seeds = np.concatenate([image[:, 0, 0, 0, 1] for image, *_ in batches])
    assert len(np.unique(draws)) == len(np.unique(seeds)) == 120


def test_samples_made_apart_are_those_of_the_batch(source: BatchSource) -> None:
    for number, whole in enumerate(made_here(source, 0, 3)):
        parts = [replace(source, samples=part).batch(source.open(), number) for part in (range(1), range(1, 3))]
        for name in ("image", "label"):
            assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))
        assert parts[0].seeds + parts[1].seeds == whole.seeds
        assert tuple(dict.fromkeys(parts[0].cases + parts[1].cases)) == whole.cases


@pytest.mark.parametrize("stream", [(5, 2), (6, 1), (5, 1, 1)])
def test_another_stream_gives_other_samples(source: BatchSource, stream: tuple[int, ...]) -> None:
    ours, theirs = made_here(source, 1, 4), made_here(replace(source, stream=stream), 1, 4)
    for (a, *_), (b, *_) in zip(ours, theirs, strict=True):
        assert not set(a[:, 0, 0, 0, 0]) & set(b[:, 0, 0, 0, 0])


def test_only_the_cases_listed_are_drawn(source: BatchSource) -> None:
    drawn = np.concatenate([image[:, 0, 0, 0, 2] for image, *_ in made_here(source, 0, 40)])
    assert set(drawn) == {1.0, 2.0}


def test_workers_give_what_this_process_gives_in_order(source: BatchSource) -> None:
    with BatchLoader(source, workers=2) as loader:
        assert equal(list(loader.batches(0, 7)), made_here(source, 0, 7))
        assert equal(list(loader.batches(20, 22)), made_here(source, 20, 22))
        assert list(loader.batches(3, 3)) == []


def test_real_augmentation_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    prepare(tmp_path, [tiny_case("a", 1), tiny_case("b", 2)])
    source = BatchSource(
        folder=tmp_path,
        cases=("a", "b"),
        sampler=PatchSampler(PATCH, read_shape(PATCH)),
        augment=PatchAugmentation(PATCH, (0, 1, 2)),
        foreground=(False, True),
        stream=(0, 0),
    )
    expected = made_here(source, 0, 6)
    for workers in (1, 2):
        with BatchLoader(source, workers) as loader:
            assert equal(list(loader.batches(0, 6)), expected)


def test_a_batch_tells_the_seeds_its_samples_were_given(source: BatchSource) -> None:
    for image, _, seeds, _ in made_here(source, 0, 3):
        assert np.array_equal(image[:, 0, 0, 0, 1], np.array(seeds, dtype=np.float32))


def test_threads_give_what_this_process_gives_in_order(source: BatchSource) -> None:
    for workers in (1, 3):
        with BatchLoader(source, workers, threads=True) as loader:
            assert equal(list(loader.batches(0, 7)), made_here(source, 0, 7))
            assert equal(list(loader.batches(20, 22)), made_here(source, 20, 22))


def test_errors_in_threads_come_through(source: BatchSource) -> None:
    loader = BatchLoader(replace(source, sampler=Fails()), 2, threads=True)
    with loader, pytest.raises(ValueError, match="own mistake"):
        list(loader.batches(0, 2))
    with pytest.raises(InputError, match=r"case gone.*vmseg_plan_and_preprocess"):
        BatchLoader(replace(source, cases=("a", "gone")), 2, threads=True)


def test_leaving_early_ends_the_threads(source: BatchSource) -> None:
    before = threading.active_count()
    with BatchLoader(source, 2, threads=True) as loader:
        next(loader.batches(0, 1000))
    assert threading.active_count() == before


def test_workers_never_load_torch(source: BatchSource) -> None:
    """A process with torch in it costs 0.8 GB and seconds."""
    with BatchLoader(replace(source, sampler=TellsTorch()), 1) as loader:
        ((image, *_),) = loader.batches(0, 1)
    assert not image[:, 0, 0, 0, 0].any()


def test_a_samplers_own_exception_comes_through(source: BatchSource) -> None:
    with BatchLoader(replace(source, sampler=Fails()), 1) as loader, pytest.raises(ValueError, match="own mistake"):
        list(loader.batches(0, 2))


def test_a_case_that_is_not_preprocessed_is_named(source: BatchSource) -> None:
    loader = BatchLoader(replace(source, cases=("a", "gone")), 1)
    with loader, pytest.raises(InputError, match=r"case gone.*vmseg_plan_and_preprocess"):
        list(loader.batches(0, 2))


def test_a_killed_worker_gives_a_remedy(source: BatchSource) -> None:
    with BatchLoader(replace(source, sampler=IsKilled()), 2) as loader:
        with pytest.raises(VmsegError, match=r"ended from outside.*--jobs 1.*the same command again"):
            list(loader.batches(0, 3))
        with pytest.raises(VmsegError, match="ended from outside"):
            list(loader.batches(3, 4))
    gc.collect()


def test_leaving_early_ends_the_workers(source: BatchSource) -> None:
    with BatchLoader(source, 1) as loader:
        stream = loader.batches(0, 1000)
        next(stream)
        workers = list(loader._pool._processes.values())
        assert workers
    assert not any(worker.is_alive() for worker in workers)


def test_a_batch_knows_the_cases_it_came_from(source: BatchSource) -> None:
    """Each once; those that a sampler only looks over are not among them."""
    for batch in made_here(replace(source, sampler=LooksAtAll()), 0, 20):
        values = set(batch.image[:, 0, 0, 0, 2])
        assert {{1.0: "a", 2.0: "b"}[value] for value in values} == set(batch.cases)
        assert len(batch.cases) == len(values)


def test_donors_of_lesions_are_named_too(tmp_path: Path) -> None:
    prepare(tmp_path, [tiny_case(name, number) for number, name in enumerate("abcdef")])
    sampler = CopyPaste(PatchSampler(PATCH, PATCH), share=1.0, mirror_axes=())
    source = BatchSource(tmp_path, tuple("abcdef"), sampler, SeedIntoImage(), (True,), (0,))
    assert max(len(batch.cases) for batch in made_here(source, 0, 10)) == 2


def test_a_stream_that_is_closed_early_can_be_followed_by_another(source: BatchSource) -> None:
    """As where a training goes back."""
    with BatchLoader(source, 2, threads=True) as loader:
        stream = loader.batches(0, 1000)
        next(stream)
        stream.close()
        assert equal(list(loader.batches(0, 4)), made_here(source, 0, 4))
