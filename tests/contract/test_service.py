"""The contract of ServiceClient, with a service of its own: a small program that answers as S3 does to a stranger."""

from dataclasses import replace

import pytest

from include.lake.errors import LakeError, Refused
from include.lake.resource import ensure
from include.lake.resources.account import AccountState
from include.lake.resources.service import HEADER, Service, ServiceState
from include.lake.secret import Secret, SecretRef
from tests.contract.programs import CLEAR, Programs, fake_guest, invented
from tests.contract.real import NAME, RELOAD

PORT, WANTS = 9190, f"/etc/systemd/system/multi-user.target.wants/{NAME}.service"
REF = SecretRef("minio_admin", "login:password")
UNIT = f"""[Unit]
StartLimitIntervalSec=0

[Service]
User={NAME}
EnvironmentFile=/etc/default/{NAME}
ExecStart=/usr/local/bin/{NAME}
Restart=always
RestartSec=100ms

[Install]
WantedBy=multi-user.target
"""
LINES, OTHER = (f"MINIO_PORT={PORT}", "MINIO_UPDATE=off"), (f"MINIO_PORT={PORT}", 'MINIO_OPTS="--address :9000"')
FATAL = (f"MINIO_PORT={PORT}", 'MINIO_FATAL="a valid license key is required"')
PAIR = Secret("contract:a-password-with=signs: and more")
MADE = ServiceState(UNIT, LINES, PAIR, enabled=True, current=True, serving=True)


class Fake:
    """A new fake for each test, with the program in place and the account there."""

    def clear(self) -> None:
        self.client = fake_guest()
        self.client.accounts[NAME] = AccountState()
        self.programs = invented()
        for program in ("one", "two"):
            self.client.stage(NAME, self.programs[program].source, self.programs[program].sha256)
        self.client.switch(NAME, self.programs["one"].sha256)

    def close(self) -> None:
        pass

    def secret(self) -> str:
        """What the connection of MinIO's administrator holds."""
        return "root:password"

    def loops(self, why: str) -> None:
        """From now on the program ends at once with these words, when its settings say so."""
        self.client.looping = why

    def stop(self) -> None:
        """Stop it by hand."""
        self.client.services[NAME] = replace(self.client.services[NAME], serving=False, current=True)

    def reload(self) -> None:
        """Let systemd read its units anew, as every apt does."""
        self.client.daemon_reload()

    def open_to_others(self) -> None:
        """Let everybody read its settings."""
        self.client.services[NAME] = replace(self.client.services[NAME], closed=False)

    def forget_settings(self) -> None:
        """Remove its settings by hand."""
        del self.client.services[NAME]

    def closed(self) -> bool:
        """Whether only root and its group can read its settings."""
        return self.client.services[NAME].closed

    def lose_program(self) -> None:
        """Remove the program by hand."""
        del self.client.links[NAME]


class Real:
    """The lab's VM."""

    needs = "programs"

    def __init__(self, programs: Programs) -> None:
        self.parts, self.root, self.client, self.programs = programs.parts, programs.parts.root, programs.parts.clients.host, programs.by_name
        self.root(f"useradd --system --user-group --no-create-home {NAME} 2>/dev/null; true")
        for program in ("one", "two"):
            self.client.stage(NAME, self.programs[program].source, self.programs[program].sha256)

    def clear(self) -> None:
        one = f"/usr/local/lib/{NAME}/{self.programs['one'].sha256}/{NAME}"
        self.root(f"""
            systemctl stop {NAME} 2>/dev/null; [ -e {WANTS} ] && systemctl disable --quiet {NAME}
            rm -f /etc/systemd/system/{NAME}.service /etc/default/{NAME}*; systemctl reset-failed {NAME} 2>/dev/null
            ln -sfn {one} /usr/local/bin/{NAME}""")

    def close(self) -> None:
        self.root(f"{CLEAR}userdel -f {NAME}; {RELOAD}")

    def secret(self) -> str:
        return f"{self.parts.lab['S3_ROOT_USER']}:{self.parts.lab['S3_ROOT_PASSWORD']}"

    def loops(self, why: str) -> None:
        pass  # its settings do

    def stop(self) -> None:
        self.root(f"systemctl stop {NAME}")

    def reload(self) -> None:
        self.root("systemctl daemon-reload")

    def open_to_others(self) -> None:
        self.root(f"chmod 644 /etc/default/{NAME}")

    def forget_settings(self) -> None:
        self.root(f"rm /etc/default/{NAME}")

    def closed(self) -> bool:
        return self.root(f"stat -c '%a %U %G' /etc/default/{NAME}") == f"640 root {NAME}\n"

    def lose_program(self) -> None:
        self.root(f"rm /usr/local/bin/{NAME}")


Rig = Fake | Real


def look(rig: Rig) -> ServiceState:
    state = rig.client.service(NAME, PORT)
    assert state
    return state


def start(rig: Rig, lines: tuple[str, ...] = LINES, unit: str = UNIT, pair: Secret = PAIR) -> None:
    """Write unit and settings, and start it."""
    rig.client.write_unit(NAME, unit)
    rig.client.write_environment(NAME, NAME, lines, pair)
    rig.client.restart(NAME)


def test_the_secret_is_that_of_the_connection(rig: Rig) -> None:
    assert rig.client.secret(REF) == Secret(rig.secret())
    assert rig.client.secret(SecretRef("minio_admin", "password")) == Secret(rig.secret().partition(":")[2])
    with pytest.raises(LakeError):
        rig.client.secret(SecretRef("nobody"))


def resource(rig: Rig) -> Service:
    return Service(NAME, NAME, PORT, REF, (), replace(MADE, credentials=None))


def test_from_nothing_to_a_service_as_declared(rig: Rig) -> None:
    assert rig.client.service(NAME, PORT) is None
    for call in (rig.client.enable, rig.client.restart):
        with pytest.raises(LakeError):
            call(NAME)
    with pytest.raises(LakeError):
        rig.client.write_environment(NAME, "nosuchgroup", LINES, PAIR)
    assert rig.client.service(NAME, PORT) is None, "settings that nobody may read were left"
    assert ensure(resource(rig), rig.client).plan.fields() == {"unit", "environment", "credentials", "enabled", "current", "serving", "closed"}
    assert rig.closed()
    assert look(rig) == replace(MADE, credentials=Secret(rig.secret()))
    rig.client.enable(NAME)  # once more: no change
    assert not ensure(resource(rig), rig.client).plan


def test_its_files_one_by_one(rig: Rig) -> None:
    rig.client.write_environment(NAME, NAME, LINES, PAIR)
    assert look(rig) == ServiceState(None, LINES, PAIR, enabled=False, current=True, serving=False)
    rig.open_to_others()
    assert look(rig) == ServiceState(None, LINES, PAIR, enabled=False, current=True, serving=False, closed=False), "what they say is seen as before"
    rig.forget_settings()
    rig.client.write_unit(NAME, UNIT)
    assert look(rig) == ServiceState(UNIT, None, Secret(":"), enabled=False, current=True, serving=False)
    with pytest.raises(LakeError):
        rig.client.wait_serving(NAME, PORT)  # nobody started it


def test_what_runs_is_current_until_something_changes(rig: Rig) -> None:
    start(rig, pair=Secret(rig.secret()))
    rig.client.wait_serving(NAME, PORT)
    rig.client.write_environment(NAME, NAME, LINES, Secret(rig.secret()))
    rig.client.switch(NAME, rig.programs["one"].sha256)
    assert look(rig) == replace(MADE, credentials=Secret(rig.secret()), enabled=False), "the same once more is no change"
    for lines, pair in ((OTHER, Secret(rig.secret())), (LINES, PAIR)):
        rig.client.write_environment(NAME, NAME, lines, pair)
        assert look(rig) == replace(MADE, environment=lines, credentials=pair, enabled=False, current=False)
    assert ensure(resource(rig), rig.client).plan.fields() == {"credentials", "enabled", "current"}
    rig.client.write_unit(NAME, UNIT + "# changed\n")
    assert (look(rig).unit, look(rig).current) == (UNIT + "# changed\n", False)
    rig.reload()
    assert (look(rig).unit, look(rig).current) == (UNIT + "# changed\n", False), "it runs under the unit before"
    assert ensure(resource(rig), rig.client).plan.fields() == {"unit", "current"}
    assert look(rig).current
    rig.client.write_unit(NAME, UNIT)
    rig.reload()
    assert ensure(resource(rig), rig.client).plan.fields() == {"current"}
    rig.client.switch(NAME, rig.programs["two"].sha256)
    assert (look(rig).current, look(rig).serving) == (False, True)
    rig.stop()
    assert ensure(resource(rig), rig.client).plan.fields() == {"serving"}
    assert look(rig) == replace(MADE, credentials=Secret(rig.secret()))
    rig.open_to_others()
    assert ensure(resource(rig), rig.client).plan.fields() == {"closed"}
    assert rig.closed()


def test_roots_credentials_change_alone_and_come_back(rig: Rig) -> None:
    for call in (lambda: rig.client.keep_settings(NAME), lambda: rig.client.write_credentials(NAME, PAIR)):
        with pytest.raises(LakeError):
            call()  # there are no settings
    assert rig.client.service(NAME, PORT) is None, "settings were made"
    own = Secret(rig.secret())
    start(rig, pair=own)
    rig.client.wait_serving(NAME, PORT)
    assert rig.client.kept_credentials(NAME) is None
    rig.client.restore_settings(NAME)  # nothing is kept: nothing comes back
    rig.client.keep_settings(NAME)
    assert rig.client.kept_credentials(NAME) == own
    rig.client.write_credentials(NAME, PAIR)
    assert look(rig) == replace(MADE, enabled=False, current=False)
    assert rig.closed()
    assert rig.client.kept_credentials(NAME) == own
    rig.client.restore_settings(NAME)
    assert look(rig) == replace(MADE, credentials=own, enabled=False), "what runs was started with these"
    assert rig.closed()
    assert rig.client.kept_credentials(NAME) is None
    rig.client.keep_settings(NAME)
    rig.client.write_credentials(NAME, PAIR)
    rig.client.restart(NAME)
    rig.client.wait_serving(NAME, PORT)
    assert look(rig) == replace(MADE, enabled=False)
    for _ in range(2):
        rig.client.forget_settings(NAME)
        assert rig.client.kept_credentials(NAME) is None


def test_a_loop_is_told_with_its_journal(rig: Rig) -> None:
    rig.loops("FATAL: a valid license key is required")
    start(rig, FATAL)
    with pytest.raises(LakeError, match=r"(?s)restarts in a loop.*FATAL: a valid license key is required"):
        rig.client.wait_serving(NAME, PORT)
    assert not look(rig).serving


def test_without_its_program_or_its_mount_it_does_not_start(rig: Rig) -> None:
    start(rig, unit=UNIT.replace("[Service]", "ConditionPathIsMountPoint=/mnt/nowhere\n\n[Service]"))
    with pytest.raises(LakeError, match="not a mount point"):
        rig.client.wait_serving(NAME, PORT)
    rig.lose_program()
    rig.client.write_unit(NAME, UNIT)
    rig.client.restart(NAME)
    with pytest.raises(LakeError):
        rig.client.wait_serving(NAME, PORT)
    assert not look(rig).serving


def test_a_service_goes_when_homelake_wrote_its_unit(rig: Rig) -> None:
    gone = replace(resource(rig), desired=None)
    assert not ensure(gone, rig.client).plan
    start(rig)
    rig.client.enable(NAME)
    with pytest.raises(Refused, match="its unit was not written by Homelake"):
        ensure(gone, rig.client)
    rig.client.write_unit(NAME, f"{HEADER}\n{UNIT}")
    rig.client.keep_settings(NAME)
    assert ensure(gone, rig.client).applied
    assert rig.client.service(NAME, PORT) is None
    assert rig.client.kept_credentials(NAME) is None
    rig.client.remove_service(NAME)  # once more: no error
