"""What a report tells, gathered from a workspace or from predictions; stages/report.py makes the page of it."""
