"""The page of `vmseg_review`: its frame, style sheet and scripts."""
