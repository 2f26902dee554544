"""The model that a reader's clicks are put to, and the scan that was clicked last."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from vmseg_auto.inference.clicks import Answer, ClickedScan, require_clicks
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.preprocessing.click_channels import Click
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.labels import classes_of

if TYPE_CHECKING:
    from vmseg_auto.review.cases import Opened


class ClickModel:
    """Answers clicks on one scan at a time, with a lock of its own: other requests do not wait for it.

    Args:
        model: a model's folder, or the zip of a single model.
        device: as of `Predictor`.
        console: is told what is done where memory runs out.

    Raises:
        InputError: it is no model, knows no clicks, or is given several channels of a scan, of which the page has one.
    """

    def __init__(self, model: Path, device: str = "auto", console: Console | None = None) -> None:
        self._predictor = Predictor.load(model, device=device, console=console)
        channels = self._predictor.info.channels
        try:
            require_clicks(self._predictor)
            if len(channels) > 1:
                problem = f"this model is given {len(channels)} channels, and the page has only the first of a scan"
                raise InputError(problem, remedy="Leave -m out.")
        except InputError as error:
            error.file = model
            raise
        self._lock = threading.Lock()
        self._last: tuple[Opened, ClickedScan] | None = None

    def answer(self, opened: Opened, clicks: list[Click]) -> Answer:
        """Return what the model changes in a case's mask after these clicks.

        Raises:
            InputError: the case has other labels than the model, or as of `ClickedScan.answer`.
        """
        with self._lock:
            if self._last is None or self._last[0] is not opened:
                ours, theirs = (dict(classes_of(labels)) for labels in (self._predictor.info.labels, opened.labels))
                if set(ours.values()) != {0, *theirs.values()}:
                    problem = "the model that is asked has other labels than this case"
                    raise InputError(problem, case=opened.case, remedy="Name with -m the model that has predicted it.")
                self._last = opened, ClickedScan(self._predictor, opened.image, opened.geometry)
            return self._last[1].answer(clicks)
