"""The blocks of code of the pages in docs/, and of the README, and how each kind of them is run.

All blocks of a page run in its order and share their names, in an empty folder:

- ``pycon`` is a doctest, ``python`` and ``{run}`` are run as they stand;
- of ``bash`` the lines that begin with ``deepstrf`` are run, on small stand-ins for recordings (``stand_ins``);
- a block that begins with a comment that is a file name (``# sweep.toml``) is written into that file;
- an HTML comment that begins with ``setup`` holds Python that readers need not see;
- a block that begins with ``# not run in the tests:`` and the reason is not run.
"""

import doctest
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_RUN = "# not run in the tests:"
PYTHON, SHELL = ("pycon", "python", "{run}", "setup"), ("bash",)
SHOWN = ("", "text", "toml", "csv")  # blocks that are only looked at
_FILE = re.compile(r"# ([\w./-]+\.(?:py|toml|csv))\n")
_FENCE = re.compile(r"^([ >]*)(`{3,}|:{3,})(.*)$")


@dataclass
class Block:
    """A block of a page: its kind, its text without the indent, and the number of its first line."""

    kind: str
    text: str
    line: int

    @property
    def skipped(self):
        return self.text.lstrip().startswith(NOT_RUN)


def pages():
    made = ("_build", "_made", "generated", "gallery")
    return [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if not set(made) & set(p.parts))]


def blocks(text):
    """All fenced blocks of a page, those inside of directives too, and the comments with a set-up."""
    found, lines, number = [], text.splitlines(), 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        if lines[number].startswith("<!-- setup"):
            end = next(k for k in range(number, len(lines)) if lines[k].endswith("-->"))
            found.append(Block("setup", "\n".join(lines[number + 1 : end]), number + 2))
            number = end
        elif fence and fence[3].strip() and fence[2][0] == "`":
            indent, ticks, kind = fence.groups()
            end = next(k for k in range(number + 1, len(lines)) if lines[k].strip() == ticks)
            code = [line.removeprefix(indent) for line in lines[number + 1 : end]]
            found.append(Block(kind.split()[0], "\n".join(code) + "\n", number + 2))
            number = end
        elif fence and fence[2][0] == "`":
            end = next(k for k in range(number + 1, len(lines)) if lines[k].strip() == fence[2])
            found.append(Block("", "\n".join(lines[number + 1 : end]) + "\n", number + 2))
            number = end
        number += 1
    return found


def commands(text):
    """The commands of deepstrf in a block of shell lines, as lists of arguments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("deepstrf ")]


class Session:
    """The state of a page while its blocks run."""

    def __init__(self, page, run_command):
        self.page, self.run_command, self.names = page, run_command, {"__name__": "__main__"}

    def run(self, block):
        if block.skipped:
            return
        name = _FILE.match(block.text)
        if name:
            Path(name[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(name[1]).write_text(block.text, encoding="utf-8")
        if block.kind == "pycon":
            self._doctest(block)
        elif block.kind in PYTHON:
            code = re.sub(r"^:[\w-]+:.*$", "", block.text, flags=re.MULTILINE) if block.kind == "{run}" else block.text
            exec(compile("\n" * (block.line - 1) + code, str(self.page), "exec"), self.names)
        elif block.kind in SHELL:
            for arguments in commands(block.text):
                self.run_command(*arguments)

    def _doctest(self, block):
        options = doctest.NORMALIZE_WHITESPACE
        test = doctest.DocTestParser().get_doctest(block.text, self.names, self.page.name, str(self.page), block.line)
        said = []
        result = doctest.DocTestRunner(optionflags=options, verbose=False).run(test, out=said.append, clear_globs=False)
        self.names = test.globs
        assert result.failed == 0, "".join(said)
