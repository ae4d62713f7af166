"""What the unit tests share: recorded outputs, and Hypothesis without a time limit for one example (the machine may be busy)."""

from pathlib import Path

from hypothesis import settings

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"

settings.register_profile("unit", deadline=None, print_blob=True)
settings.load_profile("unit")


def recorded(name: str) -> str:
    """A real output, as it was recorded."""
    return (FIXTURES / name).read_text(encoding="utf-8")
