"""The steps of the start page, from an export to reports: what each asks for, which command it runs, how it stands.

How a step stands is read from the files that are there: so it does not matter whether the page or a person in a
terminal has run a command. A step's command is what that person would type in the start folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset_key import read_dataset_key
from vmseg_auto.data.made_dataset import key_beside
from vmseg_auto.data.sources import read_sources
from vmseg_auto.data.workspace import OutputFolder
from vmseg_auto.registry import names
from vmseg_auto.start.fields import YES, Field
from vmseg_auto.start.jobs import Job
from vmseg_auto.start.place import Place
from vmseg_auto.start.step import Answers, Standing, Step
from vmseg_auto.start.trainings import latest_folds, sound_folds, training_in_words
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.folders import is_empty
from vmseg_auto.utils.text import counted, listed
from vmseg_auto.workflows.locking import folds_at_work
from vmseg_auto.workflows.paths import read_fingerprint

_NO_DATASET = "Make a dataset first."
_TEST_SHARE = "0.2"
"""Of a new dataset."""
_SERIES = Field(
    "series", "Only DICOM series called", "text", help="A name, or a pattern such as *_T2; all if empty.", further=True
)
_MASKS = ("mask", "label", "seg")
"""What folders of masks are called."""
_VISITS = (
    ("", "not known: name them, and leave them apart"),
    ("join", "yes: they are one patient's"),
    ("apart", "no: each is another patient's"),
)


class Export(Step):
    name = "export"
    title = "Scans and masks"
    runs = False
    words = (
        "Export the T2 series from the PACS into a folder below this one, a folder for each patient. Draw the lesions "
        "in 3D Slicer or ITK-SNAP, and save each mask (.seg.nrrd, .nrrd, .nii.gz) into a second folder, under the name "
        "of the patient's folder. What you copy there appears here by itself. `vmseg_review --next FOLDER`, in a "
        "terminal, opens a page on which the first masks can be drawn too."
    )

    def standing(self, place: Place) -> Standing:
        there = place.options("other", "zip")
        if place.dataset:
            return Standing("done", f"The dataset {place.dataset} is made of them.")
        if not _scans_and_masks(there):
            alone = f" There is {there[0][1]}." if there else ""
            told = f"There are no two folders below this one yet, one of scans and one of masks.{alone}"
            return Standing("ready", told)
        return Standing("done", f"There are {', '.join(words for _, words in there[:6])}.")


class Pairs(Step):
    name = "pairs"
    title = "Pairs, and a dataset"
    words = (
        "Finds out which mask goes with which scan, and shows the pairs. Nothing is written before you have confirmed "
        "them. Cases and patients get pseudonyms; a table beside the dataset (DATASET_key.csv) tells who is who."
    )

    def standing(self, place: Place) -> Standing:
        if place.dataset:
            return Standing("done", self._counted(place))
        if not (place.paths("other", "zip") and len(place.paths("other", "predictions", "zip")) > 1):
            return Standing("waiting", "Put scans and masks into folders first.")
        return Standing("ready", "No dataset is there yet.")

    def fields(self, place: Place) -> tuple[Field, ...]:
        scans, masks = place.options("other", "zip"), place.options("other", "predictions")
        return (
            Field("scans", "Scans", "choice", _likely(scans, "export", "scan", "image"), options=scans),
            Field("masks", "Masks", "choice", _likely(masks, *_MASKS), options=masks),
            Field(
                "dataset",
                "Dataset",
                "choice",
                place.dataset,
                "To one that is there what is new is added.",
                options=(*((path, path) for path in place.paths("dataset")), ("", "a new one")),
            ),
            Field("name", "Name of a new dataset", "name", "my_patients"),
            Field(
                "patients",
                "A folder of scans is",
                "choice",
                "folders",
                options=(("folders", "one patient"), ("scans", "many patients, a scan each")),
            ),
            Field(
                "tests",
                "Share of patients to test on",
                "number",
                help="Test patients are not trained on. Nothing is chosen by them. With 0 there are none. Left empty: "
                f"{_TEST_SHARE} of a new dataset; the share that it has, where one grows.",
            ),
            Field("visits", "Names that look like visits of one patient", "choice", "", options=_VISITS, further=True),
            _SERIES,
        )

    def command(self, place: Place, answers: Answers) -> list[str]:
        name, grows = self.dataset(place, answers), bool(answers["dataset"])
        if not grows and _is_taken(place.root / name):
            raise InputError(f"there is something called {name} already", remedy="Write another name.")
        command = ["vmseg_make_dataset", "-i", answers["scans"], "-m", answers["masks"], "-o", name]
        command += ["--add"] if grows else ["--patients", answers["patients"]]
        tests = answers["tests"] or (_share_of_tests(place.root / name) if grows else _TEST_SHARE)
        command += [*_option("--test-share", tests), *_option("--visits", answers["visits"])]
        return [*command, *_option("--series", answers["series"])]

    def dataset(self, place: Place, answers: Answers) -> str:
        return answers["dataset"] or answers["name"]

    def _counted(self, place: Place) -> str:
        try:
            data = read_dataset(place.root / place.dataset)
        except VmsegError as error:
            return str(error)
        cases, tests = counted(len(data.cases), "training case"), counted(len(data.test_cases), "test case")
        return f"{place.dataset} has {cases} and {tests}."


class Check(Step):
    name = "check"
    title = "Check"
    words = "Reads every scan and mask, and names all that can't be used at once. Nothing is written."

    def standing(self, place: Place) -> Standing:
        if not place.dataset:
            return Standing("waiting", _NO_DATASET)
        if place.is_planned:
            if changed := _changed_since_planned(place):
                return Standing("ready", changed)
            return Standing("done", "All cases were checked when the plan was made.")
        last = next((job for job in reversed(place.jobs) if _is_of(job, self.name, place)), None)
        if last is not None and last.exit_code == 0:
            return Standing("done", "All cases can be used.")
        return Standing("ready", "Not checked yet.")

    def command(self, place: Place, answers: Answers) -> list[str]:
        return ["vmseg_plan_and_preprocess", "-d", _dataset_of(place), "--check-only"]


class PlanStep(Step):
    name = "plan"
    title = "Plan"
    words = (
        "Plans a network for these patients, says why, splits the patients into folds, and prepares all cases for "
        "training. After new patients or corrected masks run it again: it says what has to be trained."
    )

    def standing(self, place: Place) -> Standing:
        if not place.dataset:
            return Standing("waiting", _NO_DATASET)
        if not place.is_planned:
            return Standing("ready", "Nothing is planned yet.")
        if changed := _changed_since_planned(place):
            return Standing("ready", f"{changed} Plan again.")
        plans, cases = ", ".join(place.space.plans()), counted(len(read_fingerprint(place.space).cases), "case")
        return Standing("done", f"Planned ({plans}) for {cases} in {counted(place.folds, 'fold')}.")

    def in_the_way(self, place: Place) -> str:
        if place.dataset and (busy := folds_at_work(place.space.fold_folders())):
            return f"It is being trained on ({listed(busy)}): plan when that has ended, or stop it first."
        return ""

    def fields(self, place: Place) -> tuple[Field, ...]:
        planners = tuple((name, name) for name in names("vmseg_auto.planners"))
        memory = "Of the graphics card. Left empty: as planned before, else 8."
        return (
            Field("memory", "Memory in GB", "number", help=memory),
            Field("planner", "Planner", "choice", "default", options=planners, further=True),
            Field("visits", "Names that look like visits of one patient", "choice", "", options=_VISITS, further=True),
        )

    def command(self, place: Place, answers: Answers) -> list[str]:
        command = ["vmseg_plan_and_preprocess", "-d", _dataset_of(place)]
        command += [] if answers["planner"] == "default" else ["--planner", answers["planner"]]
        return [*command, *_option("--memory", answers["memory"]), *_option("--visits", answers["visits"])]


class Train(Step):
    name = "train"
    title = "Train"
    words = (
        "Trains a network for each fold. This takes hours or days, and goes on when you close this page. Stop it "
        "whenever you like: the same command goes on from its last epoch. At the end come scores of patients that no "
        "network had seen."
    )

    def standing(self, place: Place) -> Standing:
        if not place.is_planned:
            return Standing("waiting", "Plan first.")
        folds = latest_folds(place.space)
        if not folds:
            return Standing("ready", "No training has begun.")
        try:
            sound = sound_folds(place.space, folds)
        except VmsegError as error:
            return Standing("ready", str(error))
        finished = sum(fold.finished for fold in sound if fold.folder.name != "all")
        told = training_in_words(folds, place.folds)
        if old := [str(fold.folder.name) for fold in folds if fold not in sound]:
            told += f" Trained before data or plan changed, and to be trained again: {', '.join(old)}."
        return Standing("done" if finished >= place.folds else "ready", told)

    def fields(self, place: Place) -> tuple[Field, ...]:
        every = " ".join(map(str, range(place.folds)))
        folds = [(every, f"all {place.folds}, one after another")]
        folds += [(str(fold), f"fold {fold} alone") for fold in range(place.folds)]
        trainers = [("", "as planned"), *((name, name) for name in names("vmseg_auto.trainers"))]
        plans = tuple((name, name) for name in place.space.plans())
        several = (Field("planner", "Plan", "choice", plans[0][0], options=plans),) if len(plans) > 1 else ()
        fresh = "Finished folds are kept aside until the new ones are finished."
        return (
            Field("folds", "Folds", "choice", every, options=tuple(folds)),
            *several,
            Field("hours", "Most hours a fold", "number", help="Left empty: as many as the plan wants."),
            Field("trainer", "Trainer", "choice", options=tuple(trainers), further=True),
            Field("epochs", "Epochs", "whole", help="Left empty: as the trainer has them.", further=True),
            Field("iterations", "Iterations per epoch", "whole", further=True),
            Field("fresh", "Train these folds anew", "tick", help=fresh, further=True),
        )

    def command(self, place: Place, answers: Answers) -> list[str]:
        settings = {"epochs": answers["epochs"], "iterations_per_epoch": answers["iterations"]}
        given = [f"{name}={value}" for name, value in settings.items() if value]
        return [
            *("vmseg_train", *answers["folds"].split(), "-d", _dataset_of(place)),
            *_option("--planner", answers.get("planner", "")),
            *_option("--trainer", answers["trainer"]),
            *_option("--hours", answers["hours"]),
            *(["--set", *given] if given else []),
            *(["--fresh"] if answers["fresh"] else []),
        ]


class Predict(Step):
    name = "predict"
    title = "Predict"
    words = (
        "Segments new scans, DICOM folders and zips as they come from the PACS or image files, and measures the "
        "volumes."
    )

    def standing(self, place: Place) -> Standing:
        if not place.dataset:
            return Standing("waiting", _NO_DATASET)
        if not any(fold.finished for fold in latest_folds(place.space)):
            return Standing("waiting", "Train at least one fold first.")
        predicted = [
            f"{path}: {counted(len(_cases(place.root / path)), 'scan')}" for path in place.paths("predictions")
        ]
        return (
            Standing("done", f"{'; '.join(predicted)}.") if predicted else Standing("ready", "No masks are there yet.")
        )

    def fields(self, place: Place) -> tuple[Field, ...]:
        scans = place.options("other", "zip")
        return (
            Field("scans", "Scans", "choice", _likely(scans, "new", "imagests", "export", "scan"), options=scans),
            Field("masks", "Folder for the masks", "name", "new_masks", "One that is there is brought up to date."),
            Field("previews", "Draw a picture of each", "tick", YES),
            Field("uncertainty", "Draw a map of uncertainty", "tick", further=True),
            _SERIES,
        )

    def command(self, place: Place, answers: Answers) -> list[str]:
        masks = answers["masks"]
        if not _is_for_predictions(place, masks, answers["scans"]) and (place.root / masks).exists():
            raise InputError(f"there is something called {masks} already", remedy="Write another name.")
        return [
            *("vmseg_predict", "-d", _dataset_of(place), "-i", answers["scans"], "-o", masks),
            *(["--previews"] if answers["previews"] else []),
            *(["--save-uncertainty"] if answers["uncertainty"] else []),
            *_option("--series", answers["series"]),
        ]


class ReviewStep(Step):
    name = "review"
    title = "Check and correct masks"
    words = (
        "Opens a page of its own, on which masks are looked at, corrected and decided on: predicted ones, or those of "
        "the training cases. End it there."
    )

    def standing(self, place: Place) -> Standing:
        if not place.dataset:
            return Standing("waiting", _NO_DATASET)
        told, done = [], True
        for path in place.paths("predictions"):
            decided, cases = _decided(place.root / path), len(_cases(place.root / path))
            told.append(f"{path}: {decided} of {cases} decided")
            done &= decided >= cases
        if not told:
            return Standing("ready", "No masks are predicted yet; training cases can be checked.")
        return Standing("done" if done else "ready", f"{'; '.join(told)}.")

    def fields(self, place: Place) -> tuple[Field, ...]:
        return (
            _what(place, f"training cases of {place.dataset}"),
            Field("reader", "Your name or sign", "text", help="Stands beside each of your decisions."),
            Field("add", "Offer to put cases into the dataset", "tick", YES, "Of predicted masks alone."),
        )

    def command(self, place: Place, answers: Answers) -> list[str]:
        what = answers["what"]
        if what == _dataset_of(place):
            command = ["vmseg_review", "-d", what]
        else:
            command = ["vmseg_review", "-i", what, *(["--add-to", place.dataset] if answers["add"] else [])]
        return [*command, *_option("--reader", answers["reader"]), "--no-browser"]


class Report(Step):
    name = "report"
    title = "Report"
    words = "Writes one page that opens without a network: of dataset and model, or of predicted masks."

    def standing(self, place: Place) -> Standing:
        if not place.is_planned:
            return Standing("waiting", "Plan first.")
        there = reports(place)
        return (
            Standing("done", f"There: {', '.join(there)}.") if there else Standing("ready", "No report is there yet.")
        )

    def fields(self, place: Place) -> tuple[Field, ...]:
        return (_what(place, f"{place.dataset} and its model"),)

    def command(self, place: Place, answers: Answers) -> list[str]:
        what = answers["what"]
        return ["vmseg_report", "-d", _dataset_of(place), *([] if what == place.dataset else ["-i", what])]


STEPS: tuple[Step, ...] = (
    Export(), Pairs(), Check(), PlanStep(), Train(), Predict(), ReviewStep(), Report(),
)  # fmt: skip


def step_of(name: str) -> Step:
    """Return a step by its name; raises InputError where there is none."""
    found = next((step for step in STEPS if step.name == name), None)
    if found is None:
        raise InputError("there is no such step", remedy="Load the page again.")
    return found


def reports(place: Place) -> list[str]:
    """List the reports that stand, as seen from the start folder."""
    files = [place.space.report] if place.dataset else []
    files += [OutputFolder(place.root / path).report for path in place.paths("predictions")]
    return [file.relative_to(place.root).as_posix() for file in files if file.is_file() and not file.is_symlink()]


def _scans_and_masks(there: Sequence[tuple[str, str]]) -> bool:
    """Return whether there may be a folder of scans and one of masks: two that do not lie in one another's folder, or
    one that is called so.
    """
    outermost = {path.partition("/")[0] for path, _ in there}
    return len(outermost) > 1 or any(_may_be_masks(path) for path, _ in there)


def _may_be_masks(path: str) -> bool:
    return any(part in path.rpartition("/")[2].lower() for part in _MASKS)


def _is_taken(path: Path) -> bool:
    """Return whether there is something that no new dataset may take the place of: all but an empty folder."""
    return path.exists() and not is_empty(path)


def _share_of_tests(dataset: Path) -> str:
    """Return which share of a dataset's patients are tested on, as its key shows; empty where none are, or the key
    can't be read, which the command tells.
    """
    with suppress(VmsegError):
        sides = {row.patient: row.set for row in read_dataset_key(key_beside(dataset)) if not row.removed}
        tests = sum(side == "test" for side in sides.values())
        return f"{tests / len(sides):.4f}".rstrip("0") if tests else ""
    return ""


def _changed_since_planned(place: Place) -> str:
    """Return how the cases of the dataset differ from those that were planned with, or why that can't be known; empty
    where they are the same.
    """
    try:
        planned = set(read_fingerprint(place.space).cases)
        now = {case.id for case in read_dataset(place.root / place.dataset).cases}
    except VmsegError as error:
        return str(error)
    new, gone = counted(len(now - planned), "case"), counted(len(planned - now), "case")
    return f"The dataset has changed since: {new} new, {gone} gone." if planned != now else ""


def _is_of(job: Job, step: str, place: Place) -> bool:
    return job.step == step and job.dataset == place.dataset


def _is_for_predictions(place: Place, masks: str, scans: str) -> bool:
    """Return whether a folder holds predictions, or a command was to write some there that was cut short before the
    first. One that holds what a command has read is none.
    """
    if masks in place.paths("predictions"):
        return True
    jobs = [job for job in place.jobs if job.step in (Pairs.name, Predict.name)]
    read = {_after(job, flag) for job in jobs for flag in ("-i", "-m")} | {scans}
    written = {_after(job, "-o") for job in jobs if job.step == Predict.name}
    return masks in written - read and masks in place.paths("other")


def _after(job: Job, flag: str) -> str:
    """Return the word after an option of a job's command; empty where the command has none."""
    return job.command[job.command.index(flag) + 1] if flag in job.command[:-1] else ""


def _dataset_of(place: Place) -> str:
    if not place.dataset:
        raise InputError("there is no dataset yet", remedy=_NO_DATASET)
    return place.dataset


def _what(place: Place, dataset: str) -> Field:
    """Return the question after predictions, or the dataset."""
    predicted = place.options("predictions")
    options = (*predicted, *([(place.dataset, dataset)] if place.dataset else []))
    return Field("what", "What", "choice", options[0][0] if options else "", options=options)


def _likely(options: Sequence[tuple[str, str]], *parts: str) -> str:
    """Return the option whose name holds one of these parts, the first part before the second; else the first one."""
    found = (value for part in parts for value, _ in options if part in value.lower())
    return next(found, options[0][0] if options else "")


def _option(flag: str, value: str) -> list[str]:
    return [flag, value] if value else []


def _cases(predictions: Path) -> set[str]:
    """Return the cases of a folder of predictions; none where its table is damaged."""
    with suppress(VmsegError):
        return {row.get("case", "") for row in read_sources(predictions)}
    return set()


def _decided(predictions: Path) -> int:
    """Return on how many cases somebody has decided, as their records tell; a damaged one is none."""
    count = 0
    for case in _cases(predictions):
        with suppress(VmsegError):
            record = read_json(predictions / f"{case}.json")
            count += bool(isinstance(record, dict) and record.get("reviews"))
    return count
