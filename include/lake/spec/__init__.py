"""`lake.yaml`: its form and its defaults."""

from include.lake.spec.whole import LAKE_FILE, LakeSpec, check_spec, read_spec

__all__ = ["LAKE_FILE", "LakeSpec", "check_spec", "read_spec"]
