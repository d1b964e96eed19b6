"""Prepare a potential once, before jobs fan out: fetch, convert, compile, check."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from halmd.errors import HalmdError
from halmd.files import sha256, whole_file, write_json
from halmd.potentials.evaluators import ase_calculator, load, native_environment
from halmd.potentials.registry import Entry, find


def prepare_potential(name: str, *, evaluator: str = "auto", folder: Path) -> Path:
    """Make potential `name` ready for MD in `folder`; returns `folder/potential.json`.

    evaluator is `auto`, `native` or `torch`. Foundation models are downloaded by mace-torch, unless
    `halmd potential fetch` has brought them here; a MACE model without a native export is
    converted, and the native plugin is compiled here, so that no MD process has to. Raises
    HalmdError when the potential is unknown or damaged, or when `native` was asked for and cannot
    be had.
    """
    entry = find(name)
    if entry.kind == "ase":
        ase_calculator(name)
        record: dict[str, Any] = {"name": name, "kind": "ase", "evaluator": "ase", "elements": None}
    else:
        record = _prepare_mace(entry, evaluator, folder)
    target = folder / "potential.json"
    write_json(target, record)
    load(target)
    return target


def _prepare_mace(entry: Entry, evaluator: str, folder: Path) -> dict[str, Any]:
    model = entry.model or _download(entry.name)
    if entry.card:
        facts = {key: entry.card[key] for key in ("elements", "r_max_A", "self_check")}
        facts["crystals"] = entry.card.get("crystals")
    else:
        facts = _describe(model, entry.name)
    record = {
        "name": entry.name,
        "kind": entry.kind,
        "evaluator": "torch",
        "model_file": str(model),
        "model_sha256": sha256(model),
        **facts,
    }
    if evaluator == "torch":
        _say_no_committee(entry)
        return record
    try:
        native = entry.native or export_native(model, folder)
        compiled = _compile(native, folder / "native-cache")
    except _NoNativeError as reason:
        if evaluator == "native":
            raise HalmdError(f"potential {entry.name!r}: no native evaluator: {reason}") from None
        print(f"halmd: taking mace-torch for {entry.name}: {reason}", file=sys.stderr)
        _say_no_committee(entry)
        return record | {"native_refused": str(reason)}
    for member in entry.committee:
        _compile(member, folder / "native-cache")
    return record | {
        "evaluator": "native",
        "native_file": str(native),
        "native_sha256": sha256(native),
        "native_compiled": compiled,
        "committee": [{"file": str(path), "sha256": sha256(path)} for path in entry.committee],
        "uncertainty": (entry.card or {}).get("uncertainty"),
    }


def _say_no_committee(entry: Entry) -> None:
    """A guard that is lost is said."""
    if entry.committee:
        print(
            f"halmd: mace-torch runs {entry.name} without its committee: nothing will say whether "
            "runs leave what it was trained on",
            file=sys.stderr,
        )


class _NoNativeError(Exception):
    """Why the native evaluator cannot compute a potential here."""


def _download(name: str) -> Path:
    """Fetch a foundation model with mace-torch's own loader; returns the local file."""
    code = (
        "import sys; from mace.calculators.foundations_models import download_mace_mp_checkpoint;"
        f"print('\\n' + download_mace_mp_checkpoint({name!r}))"
    )
    done = _python(["-c", code])
    if done.returncode:
        raise HalmdError(
            f"potential {name!r}: mace-torch could not fetch it ({_last_line(done.stderr)}); "
            f"for machines without internet: `halmd potential fetch {name}` where there is some"
        )
    return Path(done.stdout.strip().splitlines()[-1])


def _describe(model: Path, name: str) -> dict[str, Any]:
    if find_spec("mace") is None:
        raise HalmdError(
            f"potential {name!r}: reading a .model needs mace-torch: pip install 'halmd[torch]'"
        )
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "facts.json"
        done = _python(["-m", "halmd.potentials.convert", str(model), str(target)])
        if done.returncode:
            raise HalmdError(f"{model}: not a MACE model, or damaged ({_last_line(done.stderr)})")
        facts: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    return facts


def export_native(model: Path, folder: Path) -> Path:
    """Write the native form of a MACE model into `folder`; raises for shapes it cannot hold."""
    _require_native_package()
    target = folder / f"{model.stem}.native.json"
    with whole_file(target) as temporary:
        done = _python(
            ["-m", "symmetrix.cli.extract_mace", "--model", str(model), "--output", str(temporary)]
        )
        if done.returncode:
            raise _NoNativeError(f"cannot be converted: {_last_line(done.stderr)}")
    return target


def _compile(native: Path, cache: Path) -> bool:
    """Compile the plugin of a native model into `cache`; False where there is no compiler.

    In a process of its own, because a native backend cannot be unloaded or replaced.
    """
    _require_native_package()
    native_environment(cache)
    code = (
        "import sys; from symmetrix import Symmetrix;"
        "Symmetrix(sys.argv[1], dtype='float32', streamed_edges=sys.argv[2])"
    )
    compiled = _python(["-c", code, str(native), "direct"])
    if compiled.returncode == 0:
        return True
    plain = _python(["-c", code, str(native), "non-compiled"])
    if plain.returncode == 0:
        print(
            "halmd: the native evaluator runs without its compiled part, three times slower: "
            f"{_last_line(compiled.stderr)} (install a C++20 compiler, or set CXX)",
            file=sys.stderr,
        )
        return False
    raise _NoNativeError(_last_line(plain.stderr))


def _require_native_package() -> None:
    if find_spec("symmetrix") is None:
        where = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
        raise _NoNativeError(f"the package symmetrix-xl is not installed ({where})")


def _python(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no message"
