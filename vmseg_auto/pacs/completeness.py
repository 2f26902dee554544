"""When a received series is complete."""

from __future__ import annotations

from collections.abc import Callable

from vmseg_auto.pacs.settings import NodeSettings
from vmseg_auto.pacs.states import Phase, SeriesState


def judged(
    state: SeriesState,
    images: int,
    announced: int | None,
    unchanged: Callable[[], bool],
    quiet_s: float,
    node: NodeSettings,
) -> tuple[Phase, str]:
    """Return the phase that a series being received is in now, and where it is refused, why.

    Where the number of its images is known, that number counts: the series is queued as soon as all are there and their
    association was released, and never with fewer. One that is sent again is whole from its first image on, so while
    the association is open, it waits until no image has come for some time. Where nobody tells the number, the series
    counts as complete some time after its last image, and a longer time where its association is still open, as the
    network may be slow. One whose association broke off may be half a series: it waits until its peer sends it again.

    Args:
        state: of the series.
        images: that lie here.
        announced: how many the series has, where that is known.
        unchanged: tells whether these are the images that it was complete with before; asked only where that counts.
        quiet_s: seconds since the last image.
        node: how long to wait for what.

    Example:
        >>> node = NodeSettings(accept=("pacs",), send_to=("pacs",))
        >>> judged(SeriesState("s", "t", link="open"), 11, None, lambda: False, 31.0, node)
        ('receiving', '')
        >>> judged(SeriesState("s", "t", link="released"), 22, None, lambda: False, 31.0, node)
        ('queued', '')
    """
    is_whole = announced is not None and images >= announced
    if is_whole and state.link == "released":
        return "queued", ""
    if quiet_s < node.quiet_s:
        return "receiving", ""
    if is_whole or (announced is None and state.link == "released") or unchanged():
        return "queued", ""
    if quiet_s < node.patience_s:
        return "receiving", ""
    if announced is None and state.link == "open":
        return "queued", ""
    lacks = announced is not None
    why = f"{images} of {announced} images came" if lacks else f"its association broke off after {images} images"
    return "refused", f"{why}, and no more for {node.patience_s:g} s; send it again"
