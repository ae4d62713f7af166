"""Errors read the same way everywhere, and survive the way from one process to another."""

import pickle

import pytest

from include.lake.errors import LakeError, NotConverged, Refused, SpecError, Unreachable


@pytest.mark.parametrize(
    ("error", "text", "retry"),
    [
        (LakeError("use", "MinIO", "it said no", "Ask again"), "Unable to use MinIO: it said no. Ask again.", False),
        (LakeError("use", "MinIO", "it said no. ", "Ask again."), "Unable to use MinIO: it said no. Ask again.", False),
        (LakeError("use", "MinIO", "it said no"), "Unable to use MinIO: it said no.", False),
        (Unreachable("MinIO", "connection refused", "Start it"), "Unable to reach MinIO: connection refused. Start it.", True),
        (Refused("shrink", "vm-disk/100/scsi1", "it never shrinks", "Declare more"), "Unable to shrink vm-disk/100/scsi1: it never shrinks. Declare more.", False),
        (NotConverged("bucket/a", "quota: 1 B → 2 B"), "Unable to converge bucket/a: after the change it still differs: quota: 1 B → 2 B. "
         "Look at the part itself; something else may be changing it.", False),
        (SpecError("lake.yaml", ("a: missing. Add it.", "b: wrong.")), "Unable to read lake.yaml: 2 problems\n  a: missing. Add it.\n  b: wrong.", False),
        (SpecError("lake.yaml", ("a: unknown. Did you mean 'b'?",)), "Unable to read lake.yaml: 1 problem\n  a: unknown. Did you mean 'b'?", False),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, LakeError) else "",
)  # fmt: skip
def test_an_error_says_what_why_and_what_to_do(error: LakeError, text: str, retry: bool) -> None:
    assert str(error) == text
    assert error.retry is retry
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.retry) == (type(error), text, retry), "Airflow hands errors from process to process"
