"""A program out of an image's archive: the right platform's, the last layer's, or an error by name."""

from pathlib import Path

import pytest

from include.adapters.oci import program_in
from include.lake.errors import LakeError, Refused
from tests.unit.adapters.images import Archive, layer

AMD, ARM = b"\x7fELF amd64 program", b"\x7fELF arm64 program"
ATTESTATION = {"os": "unknown", "architecture": "unknown"}


def take(archive: Path, arch: str) -> bytes:
    target = archive.parent / f"out-{arch}"
    assert program_in(archive, arch, "minio", target) == target
    assert target.stat().st_mode & 0o777 == 0o755
    return target.read_bytes()


def multi(tmp_path: Path) -> Path:
    a = Archive()
    arm, amd = a.image("arm64", layer({"usr/bin/minio": ARM}), variant="v8"), a.image("amd64", layer({"usr/bin/minio": AMD}))
    return a.write(tmp_path / "multi.tar", arm, amd, a.image("unknown", layer({"x": b""}), os="unknown"))


def test_of_several_platforms_the_vms_is_taken(tmp_path: Path) -> None:
    assert take(multi(tmp_path), "amd64") == AMD
    assert take(multi(tmp_path), "arm64") == ARM


def test_a_platform_it_has_not_is_refused_by_name_with_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(
        Refused, match=r"it has no linux/s390x \(it has linux/amd64, linux/arm64, unknown/unknown\)\. Take one for the VM: --platform linux/s390x\."
    ):
        take(multi(tmp_path), "s390x")
    assert not (tmp_path / "out-s390x").exists()


def test_windows_is_not_linux(tmp_path: Path) -> None:
    a = Archive()
    with pytest.raises(Refused, match="windows/amd64"):
        take(a.write(tmp_path / "w.tar", a.image("amd64", layer({"minio": AMD}), os="windows")), "amd64")


@pytest.mark.parametrize("depth", [1, 2])
def test_an_index_below_the_index_is_followed(tmp_path: Path, depth: int) -> None:
    a = Archive()
    entry = a.index(a.image("arm64", layer({"minio": ARM})), a.image("amd64", layer({"minio": AMD})))
    for _ in range(depth - 1):
        entry = a.index(entry)
    archive = a.write(tmp_path / "nested.tar", entry)
    assert take(archive, "amd64") == AMD
    with pytest.raises(Refused, match=r"it has linux/amd64, linux/arm64"):
        take(archive, "riscv64")


def test_of_several_indexes_below_the_index_each_is_looked_at(tmp_path: Path) -> None:
    a = Archive()
    archive = a.write(tmp_path / "two.tar", a.index(a.image("arm64", layer({"minio": ARM}))), a.index(a.image("amd64", layer({"minio": AMD}))))
    assert take(archive, "amd64") == AMD


def test_a_single_image_has_its_platform_in_its_configuration(tmp_path: Path) -> None:
    a = Archive()
    archive = a.write(tmp_path / "single.tar", a.image("arm64", layer({"minio": ARM}), labelled=False))
    assert take(archive, "arm64") == ARM
    with pytest.raises(Refused, match=r"no linux/amd64 \(it has linux/arm64\)"):
        take(archive, "amd64")


def test_the_last_layer_wins(tmp_path: Path) -> None:
    a = Archive()
    layers = (layer({"usr/bin/minio": b"old"}), layer({"usr/bin/minio": AMD}), layer({"etc/motd": b"x"}))
    assert take(a.write(tmp_path / "layers.tar", a.image("amd64", *layers)), "amd64") == AMD


def test_of_several_paths_the_shortest_and_never_a_link(tmp_path: Path) -> None:
    a = Archive()
    files = layer({"usr/share/doc/minio/examples/minio": b"an example", "opt/bin/minio": AMD, "opt/minio.sh": b"x"}, links={"bin/minio": "/opt/bin/minio"})
    assert take(a.write(tmp_path / "paths.tar", a.image("amd64", files)), "amd64") == AMD


def test_a_layer_without_compression_is_read(tmp_path: Path) -> None:
    a = Archive()
    assert take(a.write(tmp_path / "plain.tar", a.image("amd64", layer({"minio": AMD}, packed=False))), "amd64") == AMD


def test_an_image_without_the_program_is_told(tmp_path: Path) -> None:
    a = Archive()
    with pytest.raises(LakeError, match=r"Unable to find the program 'minio' in the image .*: no layer has it"):
        take(a.write(tmp_path / "none.tar", a.image("amd64", layer({"usr/bin/mc": b"x", "minio/README": b""}))), "amd64")


def broken(what: str, path: Path) -> Path:
    a = Archive()
    entry = a.image("amd64", layer({"minio": AMD * 1000}))
    a.write(path, entry)
    if what == "text":
        path.write_text("this is no archive")
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "cut off":
        path.write_bytes(path.read_bytes()[:2000])
    elif what == "docker's old form":
        a.files = {"manifest.json": b"[]"}
    elif what == "index is no JSON":
        a.files["index.json"] = b"{"
    elif what == "index is a list":
        a.files["index.json"] = b"[]"
    elif what == "index of nothing":
        a.files["index.json"] = b"{}"
    elif what == "a blob is missing":
        a.files = {k: v for k, v in a.files.items() if "blobs" not in k}
    elif what == "a layer is cut off":
        a.files = {k: v[:60] if v[:2] == b"\x1f\x8b" else v for k, v in a.files.items()}
    elif what == "a layer is damaged":
        a.files = {k: v[:30] + b"\xff" * 20 + v[50:] if v[:2] == b"\x1f\x8b" else v for k, v in a.files.items()}
    if what not in ("text", "empty", "cut off"):
        a.write_files(path)
    return path


@pytest.mark.parametrize("what", ["text", "empty", "cut off", "docker's old form", "index is no JSON", "index is a list", "index of nothing",
                                  "a blob is missing", "a layer is cut off", "a layer is damaged"])  # fmt: skip
def test_what_is_no_oci_archive_is_told_with_how_to_make_one(tmp_path: Path, what: str) -> None:
    with pytest.raises(LakeError, match=r"it is no OCI archive .*skopeo copy docker://IMAGE oci-archive:FILE"):
        take(broken(what, tmp_path / "x.tar"), "amd64")


def test_a_program_that_was_changed_in_its_layer_is_never_taken(tmp_path: Path) -> None:
    a = Archive()
    archive = a.write(tmp_path / "x.tar", a.image("amd64", layer({"minio": AMD}, packed=False)))
    archive.write_bytes(archive.read_bytes().replace(AMD, AMD[:-1] + b"!"))
    with pytest.raises(LakeError, match=r"its blob sha256:\w{12}… is damaged"):
        take(archive, "amd64")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="No such file"):
        take(tmp_path / "none.tar", "amd64")
