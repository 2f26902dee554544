"""A folder of predictions that is reviewed: as values, and by a server that runs."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from consoles import Heard
from numpy.typing import NDArray
from reports import GRID, LABELS, deliver, scan

from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.mask_files import MaskFile
from vmseg_auto.data.reviews import Decision
from vmseg_auto.report.predictions import Predicted, read_prediction_record, read_predictions
from vmseg_auto.review.cases import Cases, Given, Opened
from vmseg_auto.review.predicted_cases import PredictedCases
from vmseg_auto.review.serve import review
from vmseg_auto.start.serve import start_page
from vmseg_auto.utils.atomic import write_sealed
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.prediction_writer import MaskFormat

SECONDS = 120.0


def predictions(folder: Path, *names: str, formats: tuple[MaskFormat, ...] = ("nifti",)) -> Path:
    """Two lesions in each scan, as vmseg_predict would have written their masks."""
    masks = {name: scan(folder / "scans", name) for name in names}
    return deliver(folder / "scans", folder / "masks", masks, formats=formats)


def put_map(folder: Path, case: str, values: NDArray[np.float32], grid: Geometry = GRID) -> Path:
    """Write a map of uncertainty beside a mask, as if it had been predicted with it."""
    path = folder / "uncertainty" / f"{case}_uncertainty.nii.gz"
    write_image(path, values, grid)
    told = replace(MaskFile.of(path), file=path.relative_to(folder).as_posix())
    record = read_prediction_record(folder, case)
    write_sealed(folder / f"{case}.json", replace(record, maps=(told,)).to_json())
    return path


def cases_of(folder: Path) -> PredictedCases:
    return PredictedCases(folder, None, Inventory())


def predicted_of(folder: Path) -> list[Predicted]:
    return read_predictions(folder, None, Inventory())[0]


def given(opened: Opened, decision: Decision, **other: Any) -> Given:
    told = {"reader": "Dr Ada", "comment": "", "minutes": 2.5, "version": opened.version, "base": opened.base}
    return Given(decision, **(told | other))


def by_hand(folder: Path, *names: str, tests: Sequence[str] = (), patients: dict[str, str] | None = None) -> Path:
    """A dataset in nnU-Net's layout, whose names are its owner's."""
    dataset = folder / "mine"
    for part, members in (("Tr", names), ("Ts", tests)):
        for name in members:
            mask = scan(folder / "own", f"owned__{name}")  # its noise goes by the length of the name
            (dataset / f"images{part}").mkdir(parents=True, exist_ok=True)
            shutil.move(folder / "own" / f"owned__{name}.nii.gz", dataset / f"images{part}" / f"{name}_0000.nii.gz")
            write_mask(dataset / f"labels{part}" / f"{name}.nii.gz", mask, GRID)
    about = {"channel_names": {"0": "T2"}, "labels": LABELS, "file_ending": ".nii.gz", "numTraining": len(names)}
    (dataset / "dataset.json").write_text(json.dumps(about | ({"patients": patients} if patients else {})))
    return dataset


def drawn(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask with the smaller lesion gone and 12 voxels more at the larger one."""
    changed = mask.copy()
    changed[6:8, 28:32, 36:40] = 0
    changed[3, 20, 8:20] = 1
    return changed


def framed(told: Mapping[str, Any], mask: bytes) -> bytes:
    text = json.dumps(told).encode()
    return len(text).to_bytes(4, "little") + text + mask


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    link: str
    heard: Heard

    @property
    def port(self) -> int:
        return int(self.link.split(":")[2].split("/")[0])

    @property
    def token(self) -> str:
        return self.link.partition("#")[2]

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        """Send what the page would, but for the headers given; an empty one is left out."""
        usual = {
            "Host": f"127.0.0.1:{self.port}",
            "Origin": f"http://127.0.0.1:{self.port}",
            "X-Vmseg-Token": self.token,
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            sent = usual | {"Content-Length": str(len(body or b""))} | dict(headers or {})
            for name, value in sent.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        status, body, _ = self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)


class _Linked(Heard):
    def __init__(self) -> None:
        super().__init__()
        self.there = threading.Event()
        self.link = ""

    def show(self, text: str) -> None:
        self.link = text.split()[-1]
        self.there.set()


@contextmanager
def served(source: Path | Cases, **options: Any) -> Iterator[Served]:
    """Run the server of a folder of predictions, or of other cases, in a thread until the end of the block."""
    cases = source if isinstance(source, Cases) else cases_of(source)
    with _running(lambda console: review(cases, browser=False, console=console, **options)) as server:
        yield server


@contextmanager
def start_served(root: Path) -> Iterator[Served]:
    """Run the server of a start page in a thread until the end of the block."""
    with _running(lambda console: start_page(root, browser=False, console=console)) as server:
        yield server


@contextmanager
def _running(serve: Callable[[Heard], None]) -> Iterator[Served]:
    console = _Linked()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            serve(console)
        except BaseException as error:
            errors.append(error)
            console.there.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert console.there.wait(SECONDS)
    if errors:
        raise errors[0]
    server = Served(console.link, console)
    try:
        yield server
    finally:
        with suppress(ConnectionRefusedError):  # it was ended before
            server.ask("POST", "/api/end")
        thread.join(SECONDS)
        assert not thread.is_alive()
