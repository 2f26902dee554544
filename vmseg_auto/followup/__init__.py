"""Two visits of one patient: registration, matching of lesions, response."""
