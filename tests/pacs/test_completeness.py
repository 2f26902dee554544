"""When a series is complete: by its number of images, else by quiet; never as half a series."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.pacs.completeness import judged
from vmseg_auto.pacs.settings import NodeSettings
from vmseg_auto.pacs.states import SeriesState

NODE = NodeSettings(accept=("pacs",), send_to=("pacs",), quiet_s=30, patience_s=600)
OPEN, RELEASED, BROKEN = (SeriesState("s", "t", link=link) for link in ("open", "released", "broken"))


def phase(state: SeriesState, images: int, announced: int | None, quiet_s: float, unchanged: bool = False) -> str:
    return judged(state, images, announced, lambda: unchanged, quiet_s, NODE)[0]


def test_quiet_alone_makes_a_series_complete_where_nobody_tells_its_number() -> None:
    assert phase(RELEASED, 22, None, 29) == "receiving"
    assert phase(RELEASED, 22, None, 30) == "queued"
    assert phase(OPEN, 22, None, 599) == "receiving"  # the network may be slow
    assert phase(OPEN, 22, None, 600) == "queued"  # some peers never release


def test_the_number_counts_where_it_is_known() -> None:
    assert phase(RELEASED, 22, 22, 0) == "queued"
    assert phase(RELEASED, 21, 22, 599) == "receiving"
    assert judged(RELEASED, 21, 22, lambda: False, 600, NODE) == (
        "refused",
        "21 of 22 images came, and no more for 600 s; send it again",
    )


def test_a_series_that_is_sent_again_waits_for_its_last_image() -> None:
    assert phase(OPEN, 22, 22, 29) == "receiving"  # they are all there from its first image on
    assert phase(OPEN, 22, 22, 30) == "queued"


def test_images_are_not_read_while_they_come() -> None:
    def read() -> bool:
        raise AssertionError("all images are read")

    assert judged(OPEN, 21, 22, read, 29, NODE)[0] == "receiving"
    assert judged(RELEASED, 22, 22, read, 0, NODE)[0] == "queued"


def test_what_may_be_half_a_series_is_never_predicted() -> None:
    assert phase(BROKEN, 11, None, 599) == "receiving"
    found, why = judged(BROKEN, 11, None, lambda: False, 600, NODE)
    assert found == "refused"
    assert why == "its association broke off after 11 images, and no more for 600 s; send it again"


def test_what_was_complete_before_is_so_without_a_further_image() -> None:
    assert phase(BROKEN, 22, None, 30, unchanged=True) == "queued"
    assert phase(BROKEN, 22, 22, 30) == "queued"


@given(
    st.sampled_from((OPEN, RELEASED, BROKEN)),
    st.integers(1, 50),
    st.none() | st.integers(1, 50),
    st.floats(0, 2000),
)
def test_fewer_images_than_announced_are_never_queued(
    state: SeriesState, images: int, announced: int | None, quiet_s: float
) -> None:
    found, why = judged(state, images, announced, lambda: False, quiet_s, NODE)
    assert not (found == "queued" and announced is not None and images < announced)
    assert bool(why) == (found == "refused")
    assert found != "receiving" or quiet_s < NODE.patience_s
