"""The operator's word on verdicts: what it says, and the folder that keeps it with the pictures."""
