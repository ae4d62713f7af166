"""`./lake`: plan, apply and watch a lake from the command line; start its Airflow; run the home lab."""

import errno
import os
import sys
from contextlib import suppress

from include.lake.errors import LakeError


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code is returned."""
    try:
        try:
            code = _run(sys.argv[1:] if argv is None else argv)
        except SystemExit:  # argparse's, after it has printed
            _flush()
            raise
        _flush()
        return code
    except BrokenPipeError:  # whoever read has seen enough
        _drop_output()
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise
        print(f"Unable to write {error.filename or 'the output'}: {error.strerror}. Make room, or write elsewhere.", file=sys.stderr)
        _drop_output()
        return 1


def _run(argv: list[str]) -> int:
    # These two take their own arguments, `--help` among them.
    if argv[:1] == ["lab"]:
        os.execv(sys.executable, [sys.executable, "-m", "lab", *argv[1:]])
    try:
        if argv[:1] == ["airflow"]:
            from include.run_airflow import run_airflow

            return run_airflow(argv[1:])
        from include.arguments import parse  # here, where Ctrl-C meanwhile is no traceback

        args = parse(argv)
        return int(args.run(args))
    except LakeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. What was done stays; run again to go on.", file=sys.stderr)
        return 130


def _flush() -> None:
    """Write what was printed now: Python would do it after the end, where an error of it can only be shown as a traceback."""
    if sys.stdout:
        sys.stdout.flush()


def _drop_output() -> None:
    """What could not be written is not tried again."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
