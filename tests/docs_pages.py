"""What stands in a page of the documentation: blocks, commands, links, names of files."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "config" / "README.md", *sorted(DOCS.glob("*.md"))]

_FENCE = re.compile(r"^ *```(\w*)(?: +title=\"([^\"]+)\")?\s*$")
_PROGRAM = re.compile(r"(\.venv\S*/bin/)?(halmd|snakemake|python[\d.]*|pip|make|pytest|source)")
_TOPS = "benchmarks|config|docs|src|structures|tests|training|workflow"


@dataclass(frozen=True)
class Block:
    """A block of a page that is set as code."""

    language: str
    """Of a fence; empty for indented lines."""
    title: str
    """Name of the file that a fence shows, or empty."""
    text: str

    def commands(self) -> list[str]:
        """Commands in it: every line of a `bash` fence, else lines that begin with a program."""
        if self.language not in ("", "bash"):
            return []
        joined = self.text.replace("\\\n", " ")
        lines = [line.strip().removeprefix("$ ") for line in joined.splitlines()]
        known = [line for line in lines if words(line)[:1]]
        if self.language == "bash":
            return known
        return [line for line in known if _PROGRAM.fullmatch(words(line)[0])]


def words(command: str) -> list[str]:
    """Words of a command line without its comment; none where it is not one."""
    try:
        return shlex.split(command, comments=True)
    except ValueError:
        return []  # an apostrophe of prose or output


def blocks(page: Path) -> list[Block]:
    """Fenced and indented blocks of a page, in order."""
    found: list[Block] = []
    lines: list[str] = []
    fence: re.Match[str] | None = None
    for line in [*page.read_text(encoding="utf-8").splitlines(), ""]:
        mark = _FENCE.match(line)
        if fence:
            if mark:
                found.append(Block(fence[1], fence[2] or "", "\n".join(lines) + "\n"))
                fence, lines = None, []
            else:
                lines.append(line)
        elif line.startswith("    "):
            lines.append(line[4:])
        else:
            if lines:
                found.append(Block("", "", "\n".join(lines) + "\n"))
            fence, lines = mark, []
    return found


def commands(page: Path) -> list[str]:
    """Every command of a page, in order."""
    return [command for block in blocks(page) for command in block.commands()]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def inline_commands(page: Path) -> list[str]:
    """`halmd ...` in running text."""
    return [" ".join(span.split()) for span in re.findall(r"`(halmd [^`]+)`", prose(page))]


def links(page: Path) -> list[str]:
    """Targets of links and images that lead to files of the repository, without anchors."""
    every = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target.partition("#")[0] for target in every if not re.match(r"https?:|#", target)]


def named_files(page: Path) -> list[str]:
    """Files of the repository that running text names in full."""
    return re.findall(rf"`((?:{_TOPS})/[\w./+-]+)`", prose(page))
