"""Progress on stderr: one line that changes on a terminal, else a line every ten seconds."""

import sys
import time
from datetime import UTC, datetime

from simulator.run import Told
from simulator.stream import Stream


class Progress:
    """Where the stream stands, and how fast it is."""

    def __init__(self, stream: Stream, quiet: bool) -> None:
        self._stream, self._quiet, self._live = stream, quiet, sys.stderr.isatty()
        self._every = 0.5 if self._live else 10.0
        self._began = self._shown = time.monotonic()
        self._before = self.records = self.bytes = 0
        self._told: Told | None = None

    def tell(self, told: Told) -> None:
        """Take an epoch that was sent."""
        self.records += told.batch.records
        self.bytes += told.batch.bytes
        self._told = told
        now = time.monotonic()
        if now - self._shown >= self._every and not self._quiet:
            self._show(self._line(told, (self.records - self._before) / (now - self._shown)))
            self._shown, self._before = now, self.records

    def counting(self, epochs: int, of: int) -> None:
        """Take how many of the epochs that were sent by an earlier run are counted again."""
        now = time.monotonic()
        if now - self._shown >= min(self._every, 2.0) and not self._quiet:
            self._show(f"counting again what was sent: epoch {epochs:,} of {of:,}")
            self._shown = now

    def end(self, done: bool) -> None:
        """Say what was sent in all."""
        if self._quiet:
            return
        seconds = time.monotonic() - self._began
        what = self._line(self._told, self.records / max(seconds, 1e-9)) if self._told else "nothing was left to send" if done else "nothing was sent"
        self._show(what + ("" if done else "; stopped, --resume goes on"), last=True)

    def _line(self, told: Told, speed: float) -> str:
        epoch, of = told.batch.epoch + 1, f" of {self._stream.duration + 1:,}" if self._stream.duration else ""
        at = datetime.fromtimestamp(told.until / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        behind = f", {told.lag:.1f} s behind" if told.lag > 1 else ""
        return f"epoch {epoch:,}{of} · {at} · {self.records:,} records, {self.bytes / 2**20:,.1f} MiB · {speed:,.0f}/s{behind}"

    def _show(self, line: str, last: bool = False) -> None:
        if self._live:
            print(f"\r\x1b[K{line}", end="\n" if last else "", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)
