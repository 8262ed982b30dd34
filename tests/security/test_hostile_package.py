"""A package made by an adversary is refused with a reason, never with a traceback."""

import zipfile
from pathlib import Path

import pytest

from datong.verifier.package import Package, PackageRefused


def a_package(folder: Path) -> bytes:
    file = folder / "evidence.zip"
    with zipfile.ZipFile(file, "w") as package:
        package.writestr("package\u00e9.json", b"{}")
        package.writestr("checkpoint", b"x")
    return file.read_bytes()


def test_names_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.zip"
    hostile.write_bytes(a_package(tmp_path).replace("\u00e9".encode(), b"\xff\xff"))
    with pytest.raises(PackageRefused):
        Package(hostile)


def test_no_flipped_byte_of_the_directory_escapes_as_another_error(tmp_path: Path) -> None:
    sound = a_package(tmp_path)
    hostile = tmp_path / "hostile.zip"
    for at in range(sound.index(b"PK\x01\x02"), len(sound)):
        for value in (0x00, 0x7F, 0xFF):
            hostile.write_bytes(sound[:at] + bytes([value]) + sound[at + 1 :])
            with pytest.raises(PackageRefused):
                Package(hostile)
