"""Planners of vmseg_auto: from a cohort's fingerprint and a memory budget to a plan."""
