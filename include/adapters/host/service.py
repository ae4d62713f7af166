"""systemd's services in the guest."""

from include.adapters.host.facts import pairs, section
from include.adapters.host.files import Files
from include.adapters.host.ssh import RELOAD
from include.lake.errors import LakeError
from include.lake.resources.service import ServiceState
from include.lake.secret import Secret

UNIT, SETTINGS = "/etc/systemd/system/{name}.service", "/etc/default/{name}"
KEPT = ".homelake-kept"  # the settings before a change of root's credentials, beside those in use
START_TIMEOUT = 240  # seconds until S3 answers; a store with many objects takes a while
LOOP = 2  # systemd's own restarts after which a service is called looping

# S3 itself answers an unsigned request with 403 once it can; the health address says ready too early.
_SERVING = r"""
serving() { exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1; printf 'GET / HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
  read -r -t 10 _ code _ <&3; exec 3>&-; [ "$code" = 403 ]; } 2>/dev/null
"""
_SERVICE = (
    _SERVING
    + r"""
unit=/etc/systemd/system/$1.service; settings=/etc/default/$1
[ -e "$unit" ] || [ -e "$settings" ] || exit 4
echo '<unit>'; cat "$unit" 2>/dev/null; echo '</unit>'
echo '<settings>'; cat "$settings" 2>/dev/null; echo '</settings>'
echo "mode=$(stat -c '%a:%U' "$settings" 2>/dev/null)"
shown=$(systemctl show "$1" -p UnitFileState,ActiveState,MainPID,NeedDaemonReload,Job,InvocationID); echo "$shown"
s_Job=; s_InvocationID=; eval "$(sed 's/^/s_/' <<<"$shown")"; pid=$s_MainPID
# What runs is the program in place, with the settings of the file: its own environment tells.
if [ "$pid" != 0 ]; then
  [ "$(readlink "/proc/$pid/exe")" = "$(readlink -f "/usr/local/bin/$1")" ] && echo program=current
  diff -q <(tr '\0' '\n' <"/proc/$pid/environ" | grep ^MINIO_ | sort) <(grep ^MINIO_ "$settings" | sed 's/="\(.*\)"$/=\1/' | sort) >/dev/null && echo settings=current
fi
[ -n "$s_InvocationID" ] && [ "$s_InvocationID" = "$(cat "/run/homelake/$1.outdated" 2>/dev/null)" ] && echo start=outdated
# One that systemd is about to end does not serve, though it may still answer.
[ "${s_Job:-0}" = 0 ] && serving "$2" && echo serving=yes; true
"""
)
_RESTART = RELOAD + 'known "$1"; systemctl reset-failed "$1" 2>/dev/null; systemctl restart --no-block "$1"'
_WAIT = (
    _SERVING
    + r"""
base=$(systemctl show "$1" -p NRestarts --value); end=$((SECONDS + $3))
while [ $SECONDS -lt $end ]; do
  s_Job=; eval "$(systemctl show "$1" -p NRestarts,ActiveState,ConditionResult,Job | sed 's/^/s_/')"; : "${s_Job:=0}"
  # While systemd still has the restart to do, it is the old one that answers.
  [ "$s_Job" = 0 ] && serving "$2" && exit 0
  [ $((s_NRestarts - base)) -ge "$4" ] && exit 3
  [ "$s_ActiveState" = inactive ] && [ "$s_Job" = 0 ] && { [ "$s_ConditionResult" = no ] && exit 6; exit 7; }
  [ "$s_ActiveState" = failed ] && exit 7
  sleep 0.3
done; exit 8
"""
)
_WRITE = (
    'umask 077; printf %s "$content" >"$1.homelake" && chown "root:$3" "$1.homelake" && chmod "$2" "$1.homelake" && sync "$1.homelake" && mv "$1.homelake" "$1"'
)
# What runs while its unit is written is noted, by the number of its start: it is outdated until it is started anew, whoever lets systemd read its units
# before that, and whatever the clock says.
_WRITE_UNIT = 'mkdir -p /run/homelake && systemctl show "$4" -p InvocationID --value >"/run/homelake/$4.outdated" && ' + _WRITE
# Kept for root only. Both files change in one step, and are on the disk before anything else happens.
_THERE = '[ -e "$1" ] || { echo "there is no $1" >&2; exit 1; }; umask 077; '
_KEEP = _THERE + 'cat "$1" >"$2.new" && sync "$2.new" && mv "$2.new" "$2" && sync -f "$2"'
_CREDENTIALS = (
    _THERE
    + r"""
{ grep -v ^MINIO_ROOT_ "$1"; printf %s "$content"; } >"$1.homelake" && chown --reference="$1" "$1.homelake" && chmod --reference="$1" "$1.homelake" &&
sync "$1.homelake" && mv "$1.homelake" "$1" && sync -f "$1"
"""
)
# The owner and mode of what is in use stay. Without anything kept it was put back before.
_RESTORE = '[ -e "$2" ] || exit 0; [ ! -e "$1" ] || { chown --reference="$1" "$2" && chmod --reference="$1" "$2"; } && mv "$2" "$1" && sync -f "$1"'
# The unit goes last: by it a removal that was killed is known.
_REMOVE = r"""
systemctl disable --quiet --now "$1" 2>/dev/null; systemctl is-active --quiet "$1" && { echo "$1 does not stop" >&2; exit 1; }
rm -f "$3" "$4" "/run/homelake/$1.outdated" && rm -f "$2" && systemctl daemon-reload; systemctl reset-failed "$1" 2>/dev/null; true
"""
_CAUSES = {
    3: "it restarts in a loop",
    6: "its data directory is not a mount point, so systemd does not start it",
    7: "systemd could not start it",
    8: f"S3 did not answer within {START_TIMEOUT} s",
}


class Services(Files):
    """Services with a unit, a file of settings, and an S3 port."""

    def service(self, name: str, port: int) -> ServiceState | None:
        """The service there."""
        result = self.run(_SERVICE, name, str(port), ok=(0, 4))
        return None if result.code == 4 else parse_service(result.out)

    def write_unit(self, name: str, text: str) -> None:
        """Write its unit; systemd reads it at the restart."""
        self.write(_WRITE_UNIT, UNIT.format(name=name), "0644", "root", name, content=text.encode())

    def write_environment(self, name: str, group: str, lines: tuple[str, ...], credentials: Secret) -> None:
        """Write its settings with root's credentials, which travel on the command's input."""
        text = "\n".join(["# Written by Homelake; changes are undone at the next run.", *lines, *_lines(credentials), ""])
        self.write(_WRITE, SETTINGS.format(name=name), "0640", group, content=text.encode())

    def kept_credentials(self, name: str) -> Secret | None:
        """Root's credentials in the settings that are kept; None when none are."""
        result = self.run('[ -e "$1" ] || exit 4; cat "$1"', SETTINGS.format(name=name) + KEPT, ok=(0, 4))
        return None if result.code == 4 else _credentials(pairs(result.out))

    def keep_settings(self, name: str) -> None:
        """Keep a copy of the settings as they are."""
        self.run(_KEEP, *_settings(name))

    def write_credentials(self, name: str, credentials: Secret) -> None:
        """Set root's credentials in the settings; they travel on the command's input."""
        self.write(_CREDENTIALS, SETTINGS.format(name=name), content="\n".join([*_lines(credentials), ""]).encode())

    def restore_settings(self, name: str) -> None:
        """Put the settings that are kept back."""
        self.run(_RESTORE, *_settings(name))

    def forget_settings(self, name: str) -> None:
        """Keep none any more."""
        self.run('rm -f "$2"', *_settings(name))

    def enable(self, name: str) -> None:
        """Start it at every boot."""
        self.run('systemctl enable --quiet "$1"', name)

    def restart(self, name: str) -> None:
        """Start it anew; `wait_serving` sees what becomes of it."""
        self.run(_RESTART, name)

    def remove_service(self, name: str) -> None:
        """Stop it, and remove its settings and its unit."""
        self.run(_REMOVE, name, UNIT.format(name=name), *_settings(name))

    def wait_serving(self, name: str, port: int) -> None:
        """Wait in the guest until S3 answers. A loop of restarts is told at once, by systemd's own counter, with the journal."""
        result = self.run(_WAIT, name, str(port), str(START_TIMEOUT), str(LOOP), ok=(0, *_CAUSES), timeout=START_TIMEOUT + 60)
        if result.code:
            journal = self.run('journalctl -u "$1" -n 15 --no-pager -o cat', name).out.strip()
            raise LakeError(
                "start", f"the service {name}", f"{_CAUSES[result.code]}. Its journal ends with:\n{journal}", "Mend the cause it names and run again"
            )


def parse_service(text: str) -> ServiceState:
    """From the unit, the settings and what systemd says."""
    lines = [line for line in section(text, "settings").splitlines() if line and not line.startswith("#")]
    given = pairs("\n".join(lines))
    facts = pairs(text.rpartition("</settings>")[2])
    mode = facts.get("mode", "")  # none: there are no settings
    environment = tuple(line for line in lines if not line.startswith("MINIO_ROOT_")) if mode else None
    closed = not mode or mode in ("640:root", "600:root")
    running = facts.get("program") == facts.get("settings") == "current" and facts.get("NeedDaemonReload") == "no" and facts.get("start") != "outdated"
    return ServiceState(section(text, "unit") or None, environment, _credentials(given), facts.get("UnitFileState") == "enabled",
                        running or facts.get("MainPID") == "0", facts.get("serving") == "yes", closed)  # fmt: skip


def _settings(name: str) -> tuple[str, str]:
    return SETTINGS.format(name=name), SETTINGS.format(name=name) + KEPT


def _credentials(given: dict[str, str]) -> Secret:
    return Secret(f"{given.get('MINIO_ROOT_USER', '')}:{given.get('MINIO_ROOT_PASSWORD', '')}")


def _lines(credentials: Secret) -> tuple[str, str]:
    user, _, password = credentials.reveal().partition(":")
    return f"MINIO_ROOT_USER={user}", f"MINIO_ROOT_PASSWORD={password}"
