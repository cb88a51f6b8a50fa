"""Lines of the source, room by room: in all, and those of code alone.

    python benchmarks/source_lines.py [REVISION]

Code leaves out docstrings, comments and blank lines. The longest functions are counted with and
without their docstring. With a revision, its lines stand beside those of the working tree.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = Path("src/molrecon")
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


@dataclass
class Lines:
    """Lines of a file or room; its longest function with and without docstring."""

    files: int = 0
    total: int = 0
    code: int = 0
    longest: tuple[int, str] = (0, "")
    longest_body: tuple[int, str] = (0, "")
    longest_file: tuple[int, str] = (0, "")

    def __iadd__(self, other: Lines) -> Lines:
        self.files += other.files
        self.total += other.total
        self.code += other.code
        self.longest = max(self.longest, other.longest)
        self.longest_body = max(self.longest_body, other.longest_body)
        self.longest_file = max(self.longest_file, other.longest_file)
        return self


def docstring_lines(node: ast.AST) -> set[int]:
    """Lines of the docstring of a module, class or function, and of strings that document names."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        return set()
    return {
        line
        for statement in node.body
        if isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
        for line in range(statement.lineno, (statement.end_lineno or 0) + 1)
    }


def measured(path: str, text: str) -> Lines:
    """Lines of one file."""
    tree = ast.parse(text)
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT:
            code.update(range(token.start[0], token.end[0] + 1))
    total = len(text.splitlines())
    found = Lines(files=1, total=total, longest_file=(total, path))
    for node in ast.walk(tree):
        documentation = docstring_lines(node)
        code -= documentation
        if isinstance(node, ast.FunctionDef):
            name = f"{path}:{node.name}"
            length = (node.end_lineno or 0) - node.lineno + 1
            found.longest = max(found.longest, (length, name))
            found.longest_body = max(found.longest_body, (length - len(documentation), name))
    found.code = len(code)
    return found


def sources(revision: str | None) -> Iterator[tuple[str, str]]:
    """Path inside the package and text of each file, of a revision or of the working tree."""
    if revision is None:
        for file in sorted((ROOT / PACKAGE).rglob("*.py")):
            yield str(file.relative_to(ROOT / PACKAGE)), file.read_text()
        return
    git = ["git", "-C", str(ROOT)]
    listing = subprocess.run(
        [*git, "ls-tree", "-r", "--name-only", revision, str(PACKAGE)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    for name in (one for one in listing if one.endswith(".py")):
        shown = subprocess.run(
            [*git, "show", f"{revision}:{name}"], check=True, capture_output=True, text=True
        )
        yield str(Path(name).relative_to(PACKAGE)), shown.stdout


def rooms(revision: str | None) -> dict[str, Lines]:
    """Lines by room; of ``data/formats`` apart from ``data``."""
    found: dict[str, Lines] = defaultdict(Lines)
    for path, text in sources(revision):
        parts = Path(path).parts
        room = "/".join(parts[:2]) if parts[:2] == ("data", "formats") else parts[0]
        found[room if len(parts) > 1 else "(top)"] += measured(path, text)
    return found


def main() -> None:
    columns: dict[str, dict[str, Lines]] = {"now": rooms(None)}
    if sys.argv[1:]:
        columns = {sys.argv[1]: rooms(sys.argv[1])} | columns
    totals = {title: Lines() for title in columns}
    print(f"{'room':16}" + "".join(f"{title:>14} {'code':>7}" for title in columns))
    for room in sorted({room for found in columns.values() for room in found}):
        row = f"{room:16}"
        for title, found in columns.items():
            totals[title] += found[room]
            row += f"{found[room].total:14} {found[room].code:7}"
        print(row)
    print(f"{'all':16}" + "".join(f"{one.total:14} {one.code:7}" for one in totals.values()))
    for title, one in totals.items():
        print(
            f"{title}: {one.files} files, the longest {one.longest_file[1]}: {one.longest_file[0]}"
        )
        print(f"  longest function {one.longest[1]}: {one.longest[0]} lines")
        print(f"  without docstring {one.longest_body[1]}: {one.longest_body[0]} lines")


if __name__ == "__main__":
    main()
