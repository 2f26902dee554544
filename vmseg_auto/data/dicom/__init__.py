"""DICOM: series, stacks, headers, decoding, segmentations."""
