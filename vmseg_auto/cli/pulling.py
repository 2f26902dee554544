"""Scans that `-i pacs:NAME` names: fetched before a command reads them, as a folder."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmseg_auto.cli.common import Screen, places_of, settings_of
from vmseg_auto.pacs.address import parse_address, read_studies
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.folders import require_apart
from vmseg_auto.utils.scratch import scratch

_ROOM = 1 << 28
"""Bytes that the folder for a moment must have free."""


@contextmanager
def pulled_study(arguments: argparse.Namespace, screen: Screen) -> Iterator[Path]:
    """Yield a folder with the study that `vmseg_predict -i` names; it is gone afterwards, unless --keep-scans.

    Raises:
        VmsegError: it can't be fetched; what is wrong, and what to do, is said.
    """
    from vmseg_auto.pacs.pull import Pull
    from vmseg_auto.workflows.ensemble import only_channel

    peer, keys = parse_address(arguments.input)
    if keys is None:
        raise InputError("no study is named", remedy=f"Write pacs:{peer}/STUDY_UID, or as docs/pacs.md shows.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("several processes can't fetch a study", remedy="Fetch it with one, and --keep-scans.")
    kept = Path(arguments.keep_scans) if arguments.keep_scans else None
    if kept:
        require_apart(Path(arguments.output), [kept])
    channel = only_channel(arguments.model, **places_of(arguments))
    pull = Pull(settings_of(arguments), peer, tuple(arguments.series), channel, screen.left, screen)
    if kept:
        yield pull.study(keys, kept)
        return
    with scratch(_ROOM) as folder:
        yield pull.study(keys, folder)
    screen.say(
        "The scans from the PACS are deleted again. A report or a review of these masks needs them: predict with "
        "--keep-scans FOLDER for that."
    )


def pulled_studies(arguments: argparse.Namespace, screen: Screen) -> Path:
    """Return a folder with the studies that `vmseg_make_dataset -i pacs:NAME --studies FILE` names; it is kept.

    Raises:
        VmsegError: they can't be fetched; what is wrong, and what to do, is said.
    """
    from vmseg_auto.data.made_dataset import MadeDataset
    from vmseg_auto.pacs.pull import Pull
    from vmseg_auto.workflows.further_channels import parse_channels

    peer, keys = parse_address(arguments.images)
    if keys is not None or arguments.studies is None:
        raise InputError("no table names the studies", remedy=f"Write -i pacs:{peer} --studies FILE.csv.")
    target, table = Path(arguments.output), Path(arguments.studies)
    folder = Path(arguments.keep_scans or target.with_name(f"{target.name}_scans"))
    require_apart(target, [folder])
    rows = read_studies(table)
    named = parse_channels(arguments.channel)[0]
    channel = MadeDataset.read(target).channel if arguments.add else named or "T2"
    pull = Pull(settings_of(arguments), peer, tuple(arguments.series), channel, screen.left, screen)
    key = Path(arguments.key or target.with_name(f"{target.name}_key.csv"))
    pull.table(rows, table, folder, key.with_name(f"{key.stem}_salt.txt"))
    screen.say(
        f"The scans from the PACS lie in {folder}. Their headers name patients: delete the folder when the dataset is "
        "made."
    )
    return folder
