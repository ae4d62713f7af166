"""`./lake lab …`: the home lab in a box."""

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lab import doctor, k8s, keys, net, vm
from lab.arguments import Parser
from lab.errors import LabError
from lab.facts import facts
from lab.image import build as build_image
from lab.progress import say
from lab.site import Lab, find_lab, forget_lab

HELP = """A whole home lab on this machine: a QEMU virtual machine behind a stand-in for the Proxmox VE API, and a Kubernetes with
the spark-operator. It needs root, makes network namespaces of its own, and sends nothing outside this machine.

  ./lake lab up            build what is missing (about 15 minutes the first time), start everything
  ./lake lab env           print KEY=value lines: addresses and credentials for any client
  ./lake lab ssh           log in to the lake's VM
  ./lake lab destroy       leave nothing behind: no process, namespace, mount, state"""


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns its exit code; an error of the user's is one line on stderr."""
    parser = Parser(prog="./lake lab", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (run, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.add_argument("--name", default=os.environ.get("HOMELAKE_LAB", "demo"), help="which lab (default: demo)")
        sub.set_defaults(run=run, parser=sub)
        if name == "up":
            sub.add_argument("--no-k8s", action="store_true", help="only the Proxmox stand-in and the VM")
            sub.add_argument("--snapshot", action="store_true", help="keep the new VM as its snapshot `fresh`, for `reset`")
        if name == "ssh":
            sub.add_argument("args", nargs=argparse.REMAINDER, help="a command to run there")
        if name == "status":
            sub.add_argument("--json", action="store_true", help="for programs")
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        args.parser.error(f"it has no {' '.join(unknown)}")
    try:
        return int(args.run(args))
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except PermissionError as error:
        if os.geteuid() == 0:
            raise
        print(
            f"Unable to use the lab {args.name!r}: {error.filename or 'a part of it'} is closed to you. Run as root (sudo ./lake lab {args.command}).",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("Interrupted. What is running stays; the same command goes on from here.", file=sys.stderr)
        return 130


def up(args: argparse.Namespace) -> int:
    """Build and start everything; a second run changes nothing."""
    lab = find_lab(args.name)
    wrong = doctor.report(lab)
    if wrong:
        _print_findings(wrong)
        return 1
    lab = find_lab(args.name, claim=True)
    lab.make_folders()
    with _alone(lab):
        keys.make(lab)
        net.up(lab)
        # Two builds side by side would fight for the cores: the VM's image first, and the VM boots while Kubernetes is built.
        build_image()
        work: list[tuple[str, Callable[[], None]]] = [("VM", lambda: vm.up(lab, snapshot=args.snapshot))]
        if not args.no_k8s:
            work.append(("Kubernetes", lambda: k8s.up(lab)))
        _side_by_side(work)
    say(f"lab {lab.name} is ready. Credentials: ./lake lab env" + ("" if lab.name == "demo" else f" --name {lab.name}"))
    return 0


def _side_by_side(work: list[tuple[str, Callable[[], None]]]) -> None:
    errors: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,), name=name) for name, job in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def down(args: argparse.Namespace) -> int:
    """Stop everything, the VM cleanly; its disks and state stay."""
    lab = find_lab(args.name)
    if not lab.state.exists():
        say(f"there is no lab {lab.name}")
        return 0
    with _alone(lab):
        _side_by_side([("VM", lambda: vm.down(lab)), ("Kubernetes", lambda: k8s.down(lab))])
        net.down(lab)
    say(f"lab {lab.name} is down; ./lake lab up starts it again")
    return 0


def destroy(args: argparse.Namespace) -> int:
    """Remove a lab with all its data."""
    lab = find_lab(args.name)
    if lab.state.exists():
        with _alone(lab):
            vm.daemon(lab).stop(2)
            vm.kill_machines(lab)
            k8s.down(lab)
            net.down(lab)
            shutil.rmtree(lab.state)
        if not any(lab.state.parent.iterdir()):
            lab.state.parent.rmdir()
    else:  # its state was removed by hand
        k8s.down(lab)
        net.down(lab)
    forget_lab(lab)
    say(f"lab {lab.name} is gone")
    return 0


def reset(args: argparse.Namespace) -> int:
    """Take the VM back to its snapshot `fresh`, and Kubernetes to the spark-operator only."""
    lab = _running(args.name)
    with _alone(lab):
        work: list[tuple[str, Callable[[], None]]] = [("VM", lambda: vm.reset(lab))]
        if k8s.node.daemon(lab).pid():
            work.append(("Kubernetes", lambda: k8s.reset(lab)))
        _side_by_side(work)
    say(f"lab {lab.name} is fresh")
    return 0


def status(args: argparse.Namespace) -> int:
    """Say what runs. Exit code 0: all of it; 3: not all."""
    lab = find_lab(args.name)
    facts = {"lab": lab.name, "state": str(lab.state) if lab.state.exists() else None, "proxmox": bool(vm.daemon(lab).pid()),
             "vm_process": bool(vm.machines(lab)), "ssh": vm.ssh_answers(lab) if net.exists(lab.netns) else False,
             "kubernetes": k8s.answers(lab), "logs": str(lab.logs)}  # fmt: skip
    if args.json:
        print(json.dumps(facts))
    else:
        for key, value in facts.items():
            print(f"{key:12} {'yes' if value is True else 'no' if value is False else value or '(none)'}")
    return 0 if facts["ssh"] and facts["kubernetes"] else 3


def packages(args: argparse.Namespace) -> int:
    """Install the Debian packages that are missing."""
    missing = doctor.missing_packages()
    if not missing:
        return 0
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise LabError("install", " ".join(missing), "this needs root and apt-get", f"Install them yourself: {' '.join(missing)}")
    say(f"installing {' '.join(missing)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise LabError("install", " ".join(missing), done.stdout.strip()[-600:], "Look at what apt-get says")
    return 0


def diagnose(args: argparse.Namespace) -> int:
    """Say what this machine lacks for a lab."""
    findings = list(doctor.examine(find_lab(args.name)))
    _print_findings(findings)
    return 1 if any(f.problem for f in findings) else 0


def _print_findings(findings: list[doctor.Finding]) -> None:
    for finding in findings:
        if finding.problem:
            print(f"✗ {finding.what}: {finding.problem}. {finding.remedy}.", file=sys.stderr)
        else:
            print(f"✓ {finding.what}")


def env(args: argparse.Namespace) -> int:
    """Print what any client needs, as KEY=value lines."""
    lab = find_lab(args.name)
    if not (lab.secrets / "tokens.json").exists():
        raise LabError("read", f"the lab {lab.name!r}", "it was never started", _up_command(args.name))
    for key, value in facts(lab).items():
        print(f"{key}={value}")
    return 0


def ssh(args: argparse.Namespace) -> int:
    """Log in to the lake's VM."""
    return subprocess.run([*vm.ssh_command(_running(args.name)), *args.args], check=False).returncode


def _running(name: str) -> Lab:
    lab = find_lab(name)
    if not vm.daemon(lab).pid():
        raise LabError("use", f"the lab {name!r}", "it is not running", _up_command(name))
    return lab


def _up_command(name: str) -> str:
    return "Run: ./lake lab up" + ("" if name == "demo" else f" --name {name}")


@contextmanager
def _alone(lab: Lab) -> Iterator[None]:
    """One command at a time works on a lab."""
    with open(lab.state / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another command works on this lab; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int], str]] = {
    "up": (up, "build what is missing and start everything"),
    "down": (down, "stop everything; disks and state stay"),
    "destroy": (destroy, "remove the lab with all its data"),
    "status": (status, "say what runs"),
    "doctor": (diagnose, "say what this machine lacks for a lab"),
    "packages": (packages, "install the Debian packages that are missing"),
    "env": (env, "print addresses and credentials as KEY=value lines"),
    "ssh": (ssh, "log in to the lake's VM, or run a command there"),
    "reset": (reset, "take the VM back to its snapshot, Kubernetes to the operator only"),
}
