"""A made-up export from a PACS, for docs/tutorial.md: DICOM series of phantom heads, and masks of their lesions.

    python examples/practice_export.py practice

It makes the folder practice, which must not be there yet:

    export/NAME/T2/IM0001.dcm ...     the T2 series of eight patients
    masks/NAME.nii.gz                 the lesions, as a reader would draw them
    new_export/NAME/T2/IM0001.dcm ... two more patients
    corrected/NAME_T2.nii.gz          the mask of one of them, as a reader would correct it

Heads and lesions are synthetic, and nobody has these names.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from vmseg_auto.data.images.images import write_mask
from vmseg_auto.demo.phantom.phantom import PhantomScan, make_phantom

PATIENTS = (
    "Ahornfeld_Anna", "Birkental_Ben", "Cedersee_Clara", "Distelmoor_David", "Erlenberg_Eva", "Fichtenau_Felix",
    "Ginstertal_Greta", "Holderbach_Hugo",
)  # fmt: skip
NEW_PATIENTS = ("Ilexhof_Ida", "Jasminweg_Jan")
SEED = 3


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, name in enumerate((*PATIENTS, *NEW_PATIENTS)):
        scan = make_phantom(SEED, number)
        new = name in NEW_PATIENTS
        write_series(folder / ("new_export" if new else "export") / name / "T2", scan, name, number)
        if not new:
            write_mask(folder / "masks" / f"{name}.nii.gz", scan.mask, scan.geometry)
        elif name == NEW_PATIENTS[0]:
            write_mask(folder / "corrected" / f"{name}_T2.nii.gz", scan.mask, scan.geometry)
    print(f"{len(PATIENTS)} patients with masks and {len(NEW_PATIENTS)} new ones in {folder}")


def write_series(folder: Path, scan: PhantomScan, name: str, number: int) -> None:
    """Write a slice into each file, as a scanner does; its header names the patient."""
    folder.mkdir(parents=True)
    axes = np.array(scan.geometry.direction).reshape(3, 3)
    step_mm, row_mm, column_mm = scan.geometry.spacing_mm
    for place, pixels in enumerate(scan.image.astype(np.uint16)):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = _uid(name, f"slice {place}")
        data.StudyInstanceUID, data.SeriesInstanceUID = _uid(name, "study"), _uid(name, "series")
        data.FrameOfReferenceUID = _uid(name, "frame")
        data.PatientName, data.PatientID = name.replace("_", "^"), f"MRN{4711 + number:06d}"
        data.PatientBirthDate, data.PatientSex = f"2011{number + 1:02d}17", "O"
        data.StudyDate, data.StudyTime = f"202603{number + 1:02d}", "101500"
        data.AccessionNumber = f"ACC{9000 + number}"
        data.Modality, data.SeriesDescription = "MR", "T2 TSE fs tra"
        data.SeriesNumber, data.InstanceNumber = 4, place + 1
        data.RepetitionTime, data.EchoTime, data.ScanOptions = 4200, 85, "FS"
        data.Rows, data.Columns = pixels.shape
        data.PixelSpacing, data.SliceThickness = [f"{row_mm:.6g}", f"{column_mm:.6g}"], f"{step_mm:.6g}"
        data.ImageOrientationPatient = [f"{x:.9f}" for x in (*axes[:, 0], *axes[:, 1])]
        data.ImagePositionPatient = [f"{x:.6f}" for x in scan.geometry.origin_mm + place * step_mm * axes[:, 2]]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.PixelData = pixels.tobytes()
        data["PixelData"].VR = "OW"
        data.save_as(folder / f"IM{place + 1:04d}.dcm", enforce_file_format=True)


def _uid(name: str, what: str) -> UID:
    return generate_uid(entropy_srcs=[name, what])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
