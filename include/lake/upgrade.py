"""Another program in MinIO's place, with the way back: put in place, restart, wait, prove; and the program before when any of it fails.

What is under way is noted in the VM before anything is touched. A run that was killed anywhere is finished by the next one: forward,
or back when the new program had failed already.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from include.lake.errors import LakeError, Refused
from include.lake.resource import LATER
from include.lake.resources.binary import Binary, BinaryClient
from include.lake.resources.service import Service, ServiceClient

NOTE = "upgrade"
Proof = Callable[[], object]  # raises LakeError when the lake's user cannot work


class UpgradeClient(BinaryClient, ServiceClient, Protocol):
    """What an upgrade needs of the guest."""

    def note(self, name: str) -> str | None:
        """A note in the guest; None when there is none."""

    def write_note(self, name: str, text: str) -> None:
        """Write it, in one step."""

    def remove_note(self, name: str) -> None:
        """Remove it; none is no error."""


@dataclass(frozen=True)
class Trial:
    """A program that is on trial, and the one before it, by their SHA-256. With a `failure` the way leads back."""

    new: str
    old: str
    failure: str = ""

    @classmethod
    def read(cls, text: str) -> Self:
        """From the note: the two on a line, then why the new one failed."""
        first, _, failure = text.partition("\n")
        new, old = first.split()
        return cls(new, old, failure.strip())

    def __str__(self) -> str:
        return f"{self.new} {self.old}\n{self.failure}"


@dataclass(frozen=True)
class Standing:
    """What is in place, what is declared (LATER: not built yet), what an earlier run left under way."""

    installed: str | None
    wanted: Any
    trial: Trial | None

    @property
    def todo(self) -> bool:
        """Whether an upgrade would do anything."""
        return self.trial is not None or self.installed != self.wanted

    def __str__(self) -> str:
        if self.trial and self.trial.failure:
            return f"the way back to {short(self.trial.old)} is still to be finished: {self.trial.failure}"
        if self.trial:
            return f"{short(self.trial.old)} → {short(self.trial.new)} was begun and is still to be finished"
        return f"{short(self.installed)} → {short(self.wanted)}" if self.todo else f"the declared program is in place ({short(self.installed)})"


@dataclass(frozen=True)
class Upgrade:
    """The upgrade of one service's program. `login` reads the user's key pair, and returns the proof that it can work."""

    binary: Binary
    service: Service
    client: UpgradeClient
    login: Callable[[], Proof]
    say: Callable[[str], None]

    def look(self) -> Standing:
        """How things stand; reads only."""
        wanted, text = self.binary.want(self.client), self.client.note(NOTE)
        return Standing(self.client.installed(self.binary.name), wanted.sha256 if wanted else None, Trial.read(text) if text else None)

    def settle(self) -> bool:
        """Finish what a run that was killed left under way. Returns whether there was anything; raises when it ended with the way back."""
        standing = self.look()
        trial = standing.trial
        if trial is None:
            return False
        if standing.installed not in (trial.new, trial.old):  # someone has put a third one in place since
            self.client.remove_note(NOTE)
            return False
        self.say(str(standing))
        proof = self.login()
        if trial.failure or trial.old == standing.wanted:  # failed, or thought better of
            self._back(trial, proof)
        else:
            self._forward(trial, proof)
        return True

    def prepare(self) -> str:
        """Check the declared program (its machine, its edition) and bring it to the VM, beside the one in place. Returns its SHA-256."""
        if self.client.installed(self.binary.name) is None:
            raise LakeError("upgrade", self.binary.id, "no program is in place", "Run lake_bootstrap (./lake apply) first")
        sha256 = self.binary.prepare(self.client)
        state = self.client.service(self.service.name, self.service.port)
        if not state or not state.serving:
            raise Refused("upgrade", self.binary.id, "MinIO does not serve now, so a fault of the new program could not be told from what ails it already",
                          "Run ./lake plan and mend what it shows")  # fmt: skip
        self.say("proving that the lake works before it is touched")
        self.login()()
        return sha256

    def exchange(self, sha256: str) -> None:
        """Put a prepared program in place and prove it. When it fails, put the one before back, prove that, and raise what failed."""
        old = self.client.installed(self.binary.name)
        assert old is not None
        if old == sha256:
            return
        proof, trial = self.login(), Trial(sha256, old)
        self.client.write_note(NOTE, str(trial))
        self._forward(trial, proof)

    def _forward(self, trial: Trial, proof: Proof) -> None:
        try:
            self._run(trial.new, proof)
        except LakeError as error:
            told = LakeError(error.verb, error.what, error.cause)  # its remedy would be for who wants to keep the new program
            self._back(replace(trial, failure=str(told)), proof)
        self.client.remove_note(NOTE)

    def _back(self, trial: Trial, proof: Proof) -> None:
        self.client.write_note(NOTE, str(trial))  # from here on every run goes back
        self.say(f"{trial.failure or 'the program before is declared again'}\nputting the program before back")
        try:
            self._run(trial.old, proof)
        except LakeError as error:
            cause = f"{trial.failure or short(trial.new) + ' was not wanted any more'}\nAnd the program before it does not work either: {error}"
            raise LakeError("upgrade", self.binary.id, cause, "Mend that and run again: it goes on with the way back") from None
        self.client.remove_note(NOTE)
        if trial.failure:
            raise LakeError("upgrade", self.binary.id, f"{trial.failure}\nThe program before ({short(trial.old)}) is back in place, serves, and was proven",
                            "Declare that one again (minio.binary in lake.yaml), or another: the next bootstrap would install what is declared")  # fmt: skip

    def _run(self, sha256: str, proof: Proof) -> None:
        """A program in place, running, and proven."""
        if self.client.installed(self.binary.name) != sha256:
            self.say(f"putting {short(sha256)} in place")
            self.client.switch(self.binary.name, sha256)
        self.say("restarting MinIO")
        self.client.restart(self.service.name)
        self.client.wait_serving(self.service.name, self.service.port)
        self.say("proving that the lake's user can work")
        proof()


def short(sha256: object) -> str:
    """A digest as a person reads it."""
    return "a program that is still to be built or fetched" if sha256 is LATER else str(sha256)[:12]
