"""Draws the picture of docs/pacs.md: `python .ci/pacs_picture.py DEMO_DATASET`. Needs Orthanc and dcmtk.

DEMO_DATASET is the dataset that `vmseg_demo` has made and trained on. One of its test phantoms goes as a DICOM series
through Orthanc to a node, and the picture is what Orthanc makes of the secondary captures that come back.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from dicom_made import write_series  # noqa: E402
from pacs import free_port, node, orthanc  # noqa: E402

from vmseg_auto.data.images.images import read_image  # noqa: E402

COLOURS = 64


def main(dataset: Path) -> None:
    image, geometry = read_image(sorted((dataset / "imagesTs").iterdir())[0])
    model = dataset / "vmseg" / "runs" / "default" / "quick"
    with tempfile.TemporaryDirectory() as place, orthanc(Path(place) / "orthanc", free_port()) as archive:
        root = Path(place)
        series = write_series(root / "in", np.rint(image).clip(0, 60000).astype(np.uint16), geometry)
        with node(root / "node", model, archive.port, port=archive.node) as running:
            archive.push(archive.store(sorted(series.iterdir())))
            running.wait_until("answered")
        pages = [Image.open(io.BytesIO(page)).convert("RGB") for page in archive.rendered("OT")]
    shown = pages[:2]
    picture = Image.new("RGB", (sum(page.width for page in shown), max(page.height for page in shown)))
    for number, page in enumerate(shown):
        picture.paste(page, (sum(before.width for before in shown[:number]), 0))
    picture.thumbnail((1600, 1200))
    picture.quantize(COLOURS).save(ROOT / "docs" / "images" / "orthanc.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
