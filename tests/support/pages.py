"""The documents as a reader meets them: their snippets, their links, what they promise to print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(ROOT.glob("plugins/*/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)


def name_of(page: Path) -> str:
    """Return a page's path as a reader writes it."""
    return page.relative_to(ROOT).as_posix()


def read(page: str | Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def fenced(text: str, language: str) -> list[str]:
    """Return the fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def snippets(text: str) -> list[str]:
    return fenced(text, "python")


def links(text: str) -> list[str]:
    """Return the targets of a page's links that stay in the repository."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in link]


def anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings have where Markdown is shown."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


def run_as_it_stands(snippet: str, folder: Path) -> None:
    """Run a snippet from a file; what it prints is what its comments promise."""
    script = folder / "snippet.py"
    script.write_text(snippet, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    promised = re.findall(r"^ *print\(.*  # (.+)$", snippet, re.MULTILINE)
    assert promised
    assert result.stdout.splitlines() == promised
