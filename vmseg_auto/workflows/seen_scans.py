"""Which scans weights were trained on, and whether the cases of a dataset are among them.

A scan is known again by the hash of its image files, whatever it is called. Another scan of the same patient is known
only where this dataset tells that the two are of one patient.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from vmseg_auto.data.dataset import Dataset
from vmseg_auto.data.runs import FoldFolder
from vmseg_auto.models.fold_record import read_record
from vmseg_auto.networks.transfer_record import Initialisation, Seen
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.text import listed

OTHER_SCANS = (
    "Scans are compared by the hash of their files: other scans of the same patients in another dataset can't be known."
)


@dataclass(frozen=True)
class SeenTests:
    """The test cases of a dataset that speak too well of weights.

    Args:
        scans: test cases that the weights were trained on.
        patients: others, of whose patient they were trained on another scan.
        whole: whether it is known of all.
    """

    scans: tuple[str, ...]
    patients: tuple[str, ...]
    whole: bool

    @property
    def cases(self) -> tuple[str, ...]:
        return tuple(sorted((*self.scans, *self.patients)))

    def warning(self) -> str:
        """Describe them in words; empty where there are none."""
        if not self.cases:
            return ""
        other = f"; of {listed(list(self.patients))} another scan of the patient" if self.patients else ""
        scans = listed(list(self.scans)) if self.scans else "no scan itself"
        return (
            f"these test cases are known to the weights that the training starts from: {scans}{other}. Their scores "
            "will be too good: start from other weights, or leave these cases out of the test."
        )


def read_initialisation(folder: FoldFolder) -> Initialisation | None:
    """Read what a fold on disk started from; None where its first weights were random."""
    if not folder.init.is_file():
        return None
    return read_stored(Initialisation, folder.init)


def seen_by(folder: FoldFolder) -> Seen:
    """Return what a fold on disk was trained on, its first weights included.

    Validation cases count where the training stopped on the gap: then the weights were chosen by them.

    Raises:
        InputError: a record is damaged.
    """
    record, before = read_record(folder), read_initialisation(folder)
    earlier = [before.seen] if before else []
    if record is None or not record.images:
        return Seen.of([Seen(whole=False), *earlier])
    cases = [*record.train, *(record.val if record.config.early_stopping else ())]
    own = Seen(tuple(sorted({record.images[case] for case in cases})), True, record.patients or None)
    return Seen.of([own, *earlier])


def seen_by_all(folders: Iterable[FoldFolder]) -> Seen:
    """Return what any of several folds was trained on."""
    return Seen.of(seen_by(folder) for folder in folders)


def seen_tests(
    seen: Seen, fingerprint: Fingerprint, dataset: Dataset | None = None, ids: Collection[str] = ()
) -> SeenTests:
    """Return the test cases that are among the scans seen, or whose patient is.

    Args:
        dataset: tells whose scans they are; unless given, patients are not compared.
        ids: test cases that are known to have been seen, whatever their files are now.
    """
    tests = {case: hashes.image_content for case, hashes in fingerprint.tests.items()}
    trained = {case: summary.image_content for case, summary in fingerprint.cases.items()}
    of_test = {case.id: case.patient for case in dataset.test_cases} if dataset else {}
    of_trained = dataset.patients if dataset else {}
    scans = sorted(case for case, image in tests.items() if case in ids or seen.holds(image))
    known = {of_test[case] for case in scans if case in of_test}
    known |= {patient for case, patient in of_trained.items() if seen.holds(trained.get(case, ""))}
    patients = sorted(case for case in tests if case not in scans and of_test.get(case) in known)
    return SeenTests(tuple(scans), tuple(patients), seen.whole)
