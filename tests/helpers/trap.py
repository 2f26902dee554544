"""What a malicious checkpoint holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


class Trap:
    """Makes a folder as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)
