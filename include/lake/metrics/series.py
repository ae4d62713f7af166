"""The course of figures over time, in columns: bounded, and yet from the first moment to the last."""

from array import array
from dataclasses import fields
from math import ceil, isnan, log2, nan
from typing import Self

from include.lake.metrics.view import Figures

COLUMNS = tuple(f.name for f in fields(Figures))
CAPACITY = 512  # of a pod: 120 bytes a point, so 61 KB; at the kubelet's 10 s its first thinning is after 85 minutes
LEAST = 8  # fewer cannot be thinned


class Series:
    """Figures of one pod, or of an application, by their moment. A moment that is not after the last one is no new point.

    When it is full, its latest quarter stays as it is, and of the rest one point stays in each stretch of time, two thirds of them or fewer:
    always points that were seen, never means. The first point and the last are always kept.
    """

    __slots__ = ("_columns", "capacity")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = max(capacity, LEAST)
        self._columns: tuple[array[float], ...] = tuple(array("d") for _ in COLUMNS)

    def __len__(self) -> int:
        return len(self._columns[0])

    @property
    def last(self) -> float | None:
        """The moment of the last point."""
        return self._columns[0][-1] if len(self) else None

    def append(self, figures: Figures) -> bool:
        """Add a point; False when its moment is not after the last one, and nothing was added."""
        if (last := self.last) is not None and figures.at <= last:
            return False
        if len(self) >= self.capacity:
            self._thin()
        for name, column in zip(COLUMNS, self._columns, strict=True):
            value = getattr(figures, name)
            column.append(nan if value is None else value)
        return True

    def _thin(self) -> None:
        at, count = self._columns[0], len(self)
        old = count - count // 4
        # Widths are powers of two, so that a later, coarser grid has its lines where this one has some, and what was kept as a beat stays one.
        width = 2.0 ** ceil(log2((at[old] - at[0]) / (count // 2)))
        kept, bucket = [], -1
        for i in range(old):
            if (now := int((at[i] - at[0]) / width)) != bucket:
                kept.append(i)
                bucket = now
        kept += range(old, count)
        self._columns = tuple(array("d", [column[i] for i in kept]) for column in self._columns)

    def copy(self) -> Self:
        """A copy that stays as it is."""
        twin = type(self)(self.capacity)
        twin._columns = tuple(array("d", column) for column in self._columns)
        return twin

    def column(self, name: str) -> list[float | None]:
        """One column, by the name of Figures' field; None where no source said."""
        return [None if isnan(v) else v for v in self._columns[COLUMNS.index(name)]]

    def as_json(self) -> dict[str, list[float | None]]:
        """{"at": […], "cpu": […], …}: JSON-ready columns of one length."""
        return {name: self.column(name) for name in COLUMNS}
