"""MACE foundation models: where each comes from, and how one is kept for machines without internet.

A fetched model lies in `potentials/NAME/`, in the folder a campaign runs in, beside `fetched.json`,
which says whence it came and what its SHA-256 is. Neither fetching nor keeping needs torch.
"""

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from halmd.errors import HalmdError
from halmd.files import read_json, sha256, whole_file, write_json

FETCHED = Path("potentials")
"""Beside the students of `halmd distill`, which have a card instead of `fetched.json`."""

_MP = "https://github.com/ACEsuit/mace-mp/releases/download"
_MORE = "https://github.com/ACEsuit/mace-foundations/releases/download"
URLS = {
    "small": f"{_MP}/mace_mp_0/2023-12-10-mace-128-L0_energy_epoch-249.model",
    "medium": f"{_MP}/mace_mp_0/2023-12-03-mace-128-L1_epoch-199.model",
    "large": f"{_MP}/mace_mp_0/MACE_MPtrj_2022.9.model",
    "small-0b": f"{_MP}/mace_mp_0b/mace_agnesi_small.model",
    "medium-0b": f"{_MP}/mace_mp_0b/mace_agnesi_medium.model",
    "small-0b2": f"{_MP}/mace_mp_0b2/mace-small-density-agnesi-stress.model",
    "medium-0b2": f"{_MP}/mace_mp_0b2/mace-medium-density-agnesi-stress.model",
    "large-0b2": f"{_MP}/mace_mp_0b2/mace-large-density-agnesi-stress.model",
    "medium-0b3": f"{_MP}/mace_mp_0b3/mace-mp-0b3-medium.model",
    "medium-mpa-0": f"{_MP}/mace_mpa_0/mace-mpa-0-medium.model",
    "small-omat-0": f"{_MP}/mace_omat_0/mace-omat-0-small.model",
    "medium-omat-0": f"{_MP}/mace_omat_0/mace-omat-0-medium.model",
    "mace-matpes-pbe-0": f"{_MORE}/mace_matpes_0/MACE-matpes-pbe-omat-ft.model",
    "mace-matpes-r2scan-0": f"{_MORE}/mace_matpes_0/MACE-matpes-r2scan-omat-ft.model",
    "mh-0": f"{_MORE}/mace_mh_1/mace-mh-0.model",
    "mh-1": f"{_MORE}/mace_mh_1/mace-mh-1.model",
}
"""As in mace-torch 0.3.16 (`mace.calculators.foundations_models.mace_mp_urls`)."""

ACADEMIC = frozenset({"small-omat-0", "medium-omat-0", "mace-matpes-pbe-0", "mace-matpes-r2scan-0"})
"""Under the Academic Software License; the others are free."""

_TIMEOUT_S = 60.0
_BLOCK = 1 << 20


def fetched(name: str) -> Path | None:
    """The `.model` of a foundation model fetched before; None where it was not.

    Raises HalmdError when it is gone or is not the file that was fetched.
    """
    record = FETCHED / name / "fetched.json"
    if not record.is_file():
        return None
    model = _model(name)
    if not model.is_file() or sha256(model) != read_json(record).get("sha256"):
        raise HalmdError(
            f"{model}: damaged (its SHA-256 is not the one in {record.name}); delete "
            f"{record.parent} and run `halmd potential fetch {name}` again"
        )
    return model.resolve()


def fetch(name: str, *, source: str | None = None, checksum: str | None = None) -> Path:
    """Bring a foundation model into `potentials/NAME/`, whole or not at all; returns its `.model`.

    `source` is a URL or a file, and where the model is published when left out; `checksum` is the
    SHA-256 that it must have. What is there already and agrees is not fetched again. Raises
    HalmdError for unknown names, and when the source gives no model or another one than asked for.
    """
    if name not in URLS:
        raise HalmdError(
            f"potential {name!r} is no foundation model; these can be fetched: {', '.join(URLS)} "
            "(models shipped with halmd need no fetching)"
        )
    if checksum is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", checksum):
        raise HalmdError(f"--sha256: {checksum!r} is not 64 hexadecimal digits")
    wanted = checksum.lower() if checksum else None
    if source is None and (there := fetched(name)) and wanted in (None, sha256(there)):
        return _model(name)
    place, model = source or URLS[name], _model(name)
    try:
        with whole_file(model) as temporary:
            with temporary.open("wb") as copy:
                copy.writelines(_blocks(name, place))
            _require_model(temporary, place)
            found = sha256(temporary)
            if wanted not in (None, found):
                raise HalmdError(f"{place}: its SHA-256 is {found}, not {wanted}; it was not kept")
    except (HalmdError, OSError):
        # A folder made for nothing would look like a potential.
        for folder in (model.parent, FETCHED):
            with suppress(OSError):
                folder.rmdir()
        raise
    write_json(
        model.with_name("fetched.json"),
        {"name": name, "source": place, "sha256": found, "bytes": model.stat().st_size},
    )
    return model


def _model(name: str) -> Path:
    return FETCHED / name / f"{name}.model"


def _blocks(name: str, place: str) -> Iterator[bytes]:
    """The bytes of a file or of what a URL gives, block by block; raises HalmdError for neither."""
    if "://" not in place:
        path = Path(place).expanduser()
        if not path.is_file():
            raise HalmdError(f"{place}: no such file")
        with path.open("rb") as stream:
            yield from iter(partial(stream.read, _BLOCK), b"")
        return
    try:
        with urllib.request.urlopen(place, timeout=_TIMEOUT_S) as answer:
            promised, read = answer.headers.get("Content-Length"), 0
            while block := answer.read(_BLOCK):
                read += len(block)
                yield block
            if promised is not None and read != int(promised):
                raise OSError(f"the connection ended after {read} of {promised} bytes")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if type(error) is urllib.error.URLError else error
        raise HalmdError(
            f"{place}: cannot be fetched ({reason}); fetch it elsewhere, copy it "
            f"here and run `halmd potential fetch {name} --from FILE`, which puts it at "
            f"{_model(name)}"
        ) from None


def _require_model(file: Path, place: str) -> None:
    """Refuse what a proxy or a login page answers in place of a file."""
    with file.open("rb") as stream:
        head = stream.read(64).lstrip()
    if not head or head.startswith(b"<"):
        what = "a web page" if head else "empty"
        raise HalmdError(f"{place}: {what}, not a model; it was not kept")
