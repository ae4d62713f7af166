"""Pictures of the dashboard in docs/images, and from which build of the page each was made: `python -m tests.pictures FOLDER` brings new ones there.

made.json beside the pictures holds the hash of the page by the name of the picture. Whoever takes a picture writes it, and nobody else.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

from tests.conftest import ROOT

IMAGES, STATIC = ROOT / "docs" / "images", ROOT / "plugins" / "static"
MADE = "made.json"
OURS = "dashboard-*.png"


def page(static: Path = STATIC) -> str:
    """The hash of a build of the page: of the names and contents of all its files."""
    whole = hashlib.sha256()
    for path in sorted(p for p in static.rglob("*") if p.is_file()):
        body = path.read_bytes()
        whole.update(f"{path.relative_to(static).as_posix()}\0{len(body)}\0".encode() + body)
    return whole.hexdigest()[:16]


def made(folder: Path) -> dict[str, str]:
    """The page of each picture there, by the picture's name."""
    file = folder / MADE
    found: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
    return found


def note(folder: Path, names: dict[str, str]) -> None:
    """Write of which page these pictures are; the others' stay, but for pictures that are there no more."""
    known = {name: of for name, of in (made(folder) | names).items() if (folder / name).is_file()}
    (folder / MADE).write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n")


def stale(folder: Path = IMAGES, static: Path = STATIC) -> list[str]:
    """The pictures that are not of this page."""
    of, now = made(folder), page(static)
    return [p.name for p in sorted(folder.glob(OURS)) if of.get(p.name) != now]


def bring(source: Path, images: Path = IMAGES) -> list[str]:
    """Replace the pictures of the dashboard that the documentation has by those of the folder; the names of those replaced."""
    of = made(source)
    names = [p.name for p in sorted(images.glob(OURS)) if (source / p.name).is_file() and p.name in of]
    for name in names:
        shutil.copyfile(source / name, images / name)
    note(images, {name: of[name] for name in names})
    return names


if __name__ == "__main__":
    print(f"new in {IMAGES.relative_to(ROOT)}: {', '.join(bring(Path(sys.argv[1]))) or 'nothing'}; still of another page: {', '.join(stale()) or 'none'}")
