"""Foundation models, fetched beforehand: whole, checked, found again without a network."""

import ast
import errno
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import pytest

from halmd.errors import HalmdError
from halmd.potentials.foundation import URLS, fetch, fetched
from halmd.potentials.potential import prepare_potential
from halmd.potentials.registry import find, registered_names

MODEL = b"PK" + bytes(range(256)) * 9000
"""More than one block; nothing opens it here."""
CHECKSUM = sha256(MODEL).hexdigest()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of a campaign, with a model beside it, and no proxy to ask."""
    folder = tmp_path / "campaign"
    folder.mkdir()
    (tmp_path / "given.model").write_bytes(MODEL)
    monkeypatch.chdir(folder)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return folder


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/gone.model":
            self.send_error(404)
            return
        body = b"\n<html>Please log in</html>" if self.path == "/portal.model" else MODEL
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:2_000_000] if self.path == "/cut.model" else body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


def test_what_was_fetched_is_found_by_its_name(here: Path, server: str) -> None:
    model = fetch("small", source=f"{server}/whole.model", checksum=CHECKSUM.upper())
    assert model.read_bytes() == MODEL
    record = json.loads((model.parent / "fetched.json").read_text())
    assert (record["sha256"], record["bytes"]) == (CHECKSUM, len(MODEL))
    assert record["source"] == f"{server}/whole.model"
    entry = find("small")
    assert (entry.kind, entry.model) == ("foundation", model.resolve())
    # No student, and no other model's file.
    assert registered_names() == []
    assert find("medium").model is None


@pytest.mark.parametrize("source", ["given.model", "file://{}/given.model"])
def test_a_file_in_place_of_the_network(here: Path, source: str) -> None:
    place = source.format(here.parent) if "://" in source else str(here.parent / source)
    assert fetch("mh-1", source=place).read_bytes() == MODEL


def test_what_is_there_is_not_fetched_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch("small", source="../given.model")
    monkeypatch.setitem(URLS, "small", "http://127.0.0.1:9/small.model")
    assert fetch("small").read_bytes() == MODEL
    assert fetch("small", checksum=CHECKSUM).read_bytes() == MODEL
    # Another one than is there must come from where it is published.
    with pytest.raises(HalmdError, match=r"127\.0\.0\.1:9"):
        fetch("small", checksum="0" * 64)
    assert find("small").model is not None


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/gone.model", "404"),
        ("/cut.model", f"after 2000000 of {len(MODEL)} bytes"),
        ("/portal.model", "a web page, not a model"),
    ],
)
def test_a_bad_answer_leaves_nothing(here: Path, server: str, path: str, message: str) -> None:
    with pytest.raises(HalmdError, match=message):
        fetch("small", source=server + path)
    assert list(here.iterdir()) == []


def test_a_full_disk_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, place: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    monkeypatch.setattr("halmd.potentials.foundation._require_model", full)
    with pytest.raises(OSError, match="No space left"):
        fetch("small", source="../given.model")
    assert list(here.iterdir()) == []


def test_a_bad_answer_leaves_what_was_there(here: Path, server: str) -> None:
    fetch("small", source="../given.model")
    with pytest.raises(HalmdError, match="bytes"):
        fetch("small", source=f"{server}/cut.model")
    with pytest.raises(HalmdError, match="SHA-256"):
        fetch("small", source=f"{server}/whole.model", checksum="0" * 64)
    found = find("small").model
    assert found is not None
    assert {path.name for path in found.parent.iterdir()} == {"small.model", "fetched.json"}


def test_a_damaged_file_is_refused_by_name(here: Path) -> None:
    model = fetch("small", source="../given.model")
    model.write_bytes(MODEL[:-1])
    with pytest.raises(HalmdError, match=r"small\.model: damaged.*halmd potential fetch small"):
        find("small")
    model.unlink()
    with pytest.raises(HalmdError, match="damaged"):
        fetched("small")
    # The cure of the message.
    assert fetch("small", source="../given.model").read_bytes() == MODEL


def halmd(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "halmd.cli", "potential", *arguments],
        capture_output=True, text=True, check=False,
        env=os.environ | {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": ""},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "no-such-model"], "medium-mpa-0"),
        (["fetch", "halmd-liycl-1"], "no foundation model"),
        (["fetch", "small"], "potential fetch small --from FILE"),
        (["fetch", "small", "--from", "nowhere.model"], "nowhere.model: no such file"),
        (["fetch", "small", "--from", "file:///nowhere.model"], "No such file"),
        (["fetch", "small", "--from", "gopher://x/y"], "cannot be fetched"),
        (["fetch", "small", "--from", "../given.model", "--sha256", "12"], "64 hexadecimal"),
        (["fetch", "small", "--from", "../given.model", "--sha256", "0" * 64], CHECKSUM),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    here: Path, arguments: list[str], message: str
) -> None:
    done = halmd(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("halmd: error: ")
    assert message in done.stderr
    assert list(here.iterdir()) == []


def test_an_academic_licence_is_said(here: Path) -> None:
    assert "academic" in halmd("fetch", "medium-omat-0", "--from", "../given.model").stdout
    done = halmd("fetch", "small", "--from", "../given.model")
    assert CHECKSUM in done.stdout
    assert "academic" not in done.stdout


@pytest.mark.torch
def test_a_fetched_model_is_prepared_without_a_network(
    here: Path, shipped_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    given = find(shipped_name).model
    assert given is not None
    shutil.copy(given, here / "copied.model")
    model = fetch("small", source="copied.model")
    record = json.loads(
        prepare_potential("small", evaluator="torch", folder=here / "prepared").read_text()
    )
    assert (record["kind"], record["model_file"]) == ("foundation", str(model.resolve()))
    assert set(record["elements"]) == {"Li", "Y", "Cl"}


def test_addresses_are_those_of_mace_torch() -> None:
    package = find_spec("mace")
    if package is None or package.origin is None:
        pytest.skip("mace-torch is not installed")
    # Read, not imported: that takes torch and many seconds.
    source = Path(package.origin).parent / "calculators" / "foundations_models.py"
    tables = [
        ast.literal_eval(statement.value)
        for statement in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "mace_mp_urls"
    ]
    assert tables == [URLS]
