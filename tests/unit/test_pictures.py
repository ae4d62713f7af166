"""The pictures of the dashboard in the documentation are of the page that Airflow serves."""

from pathlib import Path

import pytest

from tests import pictures


def test_the_documentations_pictures_are_of_the_page_that_is_committed() -> None:
    assert not (old := pictures.stale()), (
        f"{', '.join(old)} in docs/images: made from another page than plugins/static. Run `make pictures` and commit docs/images"
    )


@pytest.fixture
def static(tmp_path: Path) -> Path:
    (tmp_path / "static" / "assets").mkdir(parents=True)
    (tmp_path / "static" / "index.html").write_text("page")
    return tmp_path / "static"


@pytest.fixture
def images(tmp_path: Path, static: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("dashboard-job.png", "dashboard-run.png", "overview.png"):
        (tmp_path / "images" / name).write_bytes(b"old")
    return tmp_path / "images"


def test_a_picture_is_stale_once_the_page_is_another(static: Path, images: Path) -> None:
    assert pictures.stale(images, static) == ["dashboard-job.png", "dashboard-run.png"], "nobody has said of which page they are"
    pictures.note(images, {"dashboard-job.png": pictures.page(static)})
    assert pictures.stale(images, static) == ["dashboard-run.png"]
    pictures.note(images, {"dashboard-run.png": pictures.page(static), "gone.png": "x"})
    assert pictures.stale(images, static) == []
    assert "gone.png" not in pictures.made(images)
    before = pictures.page(static)
    (static / "assets" / "a.js").write_text("more")
    with_a = pictures.page(static)
    (static / "assets" / "a.js").rename(static / "assets" / "b.js")
    assert len({before, with_a, pictures.page(static)}) == 3, "a file's name counts as its content does"
    assert pictures.stale(images, static) == ["dashboard-job.png", "dashboard-run.png"]


def test_only_what_the_documentation_has_is_brought_there(tmp_path: Path, images: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    for name in ("dashboard-job.png", "dashboard-phone.png", "overview.png", "dashboard-run.png"):
        (taken / name).write_bytes(b"new")
    pictures.note(taken, {"dashboard-job.png": "page-2", "dashboard-phone.png": "page-2"})
    assert pictures.bring(taken, images) == ["dashboard-job.png"], "of the other nobody says of which page it is"
    assert {p.name: p.read_bytes() for p in images.glob("*.png")} == {"dashboard-job.png": b"new", "dashboard-run.png": b"old", "overview.png": b"old"}
    assert pictures.made(images) == {"dashboard-job.png": "page-2"}
