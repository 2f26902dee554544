"""What runs on CUDA alone, on a card that is not there: tests/card."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import absent_card
import pytest
import torch

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("g++") is None, reason="needs Linux and g++"
)


def test_cuda_s_branches_on_a_card_that_is_not_there(tmp_path: Path) -> None:
    if torch.backends.cuda.is_built():
        pytest.skip("this torch has CUDA's own hooks")
    root = Path(torch.__file__).parent
    library = absent_card.build(tmp_path, root / "include", root / "lib")
    done = absent_card.run(library, str(Path(__file__).parent / "card"), "-q")
    assert done.returncode == 0, done.stdout + done.stderr
