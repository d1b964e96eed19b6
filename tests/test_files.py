"""Files are written whole or not at all, and damaged ones are named."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halmd.errors import HalmdError
from halmd.files import clear_leftovers, fingerprint, read_json, sha256, whole_file, write_json


def test_failure_leaves_the_old_file_and_no_debris(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, {"x": 1})
    before = target.read_bytes()

    def half_written() -> None:
        with whole_file(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="disk is full"):
        half_written()
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_kill_in_the_middle_of_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, {"x": 1})
    before = target.read_bytes()
    code = (
        "import os, signal, sys; from pathlib import Path; from halmd.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as t:\n"
        "    t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_bytes() == before
    others = [tmp_path / name for name in (".a.json", ".a.b.json", ".b.12345678.json")]
    for other in others:
        other.write_text("of another")
    assert len(list(tmp_path.iterdir())) == 5
    clear_leftovers(target)
    assert sorted(tmp_path.iterdir()) == sorted([target, *others])


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, {})
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("text", ["", '{"x": ', "[1]", "\x00\x01"])
def test_damaged_json_is_named_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(HalmdError, match=r"broken\.json") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"D": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


json_records = st.dictionaries(
    st.text(max_size=5),
    st.one_of(
        st.integers(), st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
    ),
)


@given(json_records, json_records)
def test_fingerprint_tells_records_apart_whatever_their_order(a: dict, b: dict) -> None:
    assert fingerprint(a) == fingerprint(dict(reversed(a.items())))
    if json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True):
        assert fingerprint(a) != fingerprint(b)


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    with pytest.raises(OSError, match=r"No space left.*result\.json"), whole_file(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
