"""At home in the PACS: a DICOM node that answers series with masks, and its queue."""
