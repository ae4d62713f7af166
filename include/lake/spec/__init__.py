"""`lake.yaml`: its form and its defaults."""

from include.lake.spec.whole import LAKE_FILE, LakeSpec, read_spec

__all__ = ["LAKE_FILE", "LakeSpec", "read_spec"]
