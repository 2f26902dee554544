"""Image files are opened one at a time, whatever thread asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from raw_dataset import GRID, VOLUMES, tiny_image

from vmseg_auto.data.images.images import read_image, write_image


@pytest.mark.parametrize("ending", VOLUMES)
def test_threads_write_and_read_side_by_side(tmp_path: Path, ending: str) -> None:
    def there_and_back(number: int) -> bool:
        path = tmp_path / f"{number}{ending}"
        write_image(path, tiny_image(number), GRID)
        return np.array_equal(read_image(path)[0], tiny_image(number))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(there_and_back, range(40)))
