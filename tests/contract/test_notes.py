"""The contract of notes in the guest."""

from tests.contract.real import NAME, Parts
from tests.fakes.guest import FakeGuest

TEXT = "new old\nit said: \"no\" and $HOME `date` 'ended'\n\n  over\ttwo lines\n"


class Fake:
    """A new fake for each test."""

    def clear(self) -> None:
        self.client = FakeGuest()

    def close(self) -> None:
        pass

    def others_see(self) -> bool:
        """Whether anybody but root can read the note."""
        return False

    def half_write(self) -> None:
        """What a killed writing leaves."""


class Real:
    """The lab's VM."""

    needs = "parts"

    def __init__(self, parts: Parts) -> None:
        self.client, self.root = parts.clients.host, parts.root

    def clear(self) -> None:
        self.root(f"rm -f /var/lib/homelake/{NAME} /var/lib/homelake/.{NAME}.new")

    def close(self) -> None:
        pass

    def others_see(self) -> bool:
        return self.root(f"stat -c %a /var/lib/homelake/{NAME} /var/lib/homelake | grep -v '00$' || true") != ""

    def half_write(self) -> None:
        self.root(f"mkdir -p -m 700 /var/lib/homelake; echo half >/var/lib/homelake/.{NAME}.new")


Rig = Fake | Real


def test_a_note(rig: Rig) -> None:
    rig.half_write()
    assert rig.client.note(NAME) is None
    rig.client.remove_note(NAME)
    for text in (TEXT, "another"):
        rig.client.write_note(NAME, text)
        assert rig.client.note(NAME) == text
    assert not rig.others_see()
    for _ in range(2):
        rig.client.remove_note(NAME)
        assert rig.client.note(NAME) is None
