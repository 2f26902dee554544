"""These tests run only in a process that has the card that is not there; tests/test_absent_card.py starts it."""

from __future__ import annotations

import os

from absent_card import HOOKS

collect_ignore_glob = [] if HOOKS in os.environ else ["test_*.py"]
