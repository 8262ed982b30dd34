"""The key of pseudonyms is read from a file that nobody else can read."""

import stat
from pathlib import Path

import pytest

from services.exchange.transfer.settings import TransferSettings


def settings(path: Path) -> TransferSettings:
    return TransferSettings.model_construct(pseudonym_key_file=path)


@pytest.mark.parametrize("content", [bytes(range(32)), bytes(range(32)).hex().encode() + b"\n"])
def test_a_key_is_32_bytes_or_64_digits(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    for mode in (0o600, 0o400, 0o440):
        file.chmod(mode)
        assert settings(file).pseudonym_key == bytes(range(32))


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o660, 0o601])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    file.write_bytes(bytes(32))
    file.chmod(mode)
    assert stat.S_IMODE(file.stat().st_mode) == mode

    with pytest.raises(ValueError, match="0600"):
        _ = settings(file).pseudonym_key


@pytest.mark.parametrize("content", [b"", b"\xff" * 31, b"00" * 31, b"secret" * 6, b"\xff" * 64])
def test_what_is_no_key_is_not_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)

    with pytest.raises(ValueError, match=r"hexadecimal|32 bytes") as refused:
        _ = settings(file).pseudonym_key

    assert "secret" not in repr(refused.value)
