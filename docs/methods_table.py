"""Print the tables of docs/methods.md from METHODS, or put them there.

python docs/methods_table.py            prints them
python docs/methods_table.py --write    puts them into docs/methods.md
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from bandweave.methods.nets.table import NETWORKS
from bandweave.methods.table import METHODS, MethodEntry

DOCUMENT = Path(__file__).with_name("methods.md")


def _is_for_pansharpening(entry: MethodEntry) -> bool:
    return not entry.is_learned and not entry.is_hyperspectral


def _is_model_based(entry: MethodEntry) -> bool:
    return entry.is_hyperspectral


def _is_network(entry: MethodEntry) -> bool:
    return entry.is_learned


GROUPS: dict[str, Callable[[MethodEntry], bool]] = {
    "classical": _is_for_pansharpening,
    "model-based": _is_model_based,
    "networks": _is_network,
}
"""Name of the table in the page -> its rows. Every method is in one of them."""


def table(group: str) -> str:
    """Return one table as Markdown."""
    rows = [
        "| `--method` | what it is | what it takes, and sees | made to equal |",
        "|---|---|---|---|",
    ]
    for entry in METHODS.values():
        if GROUPS[group](entry):
            kind = NETWORKS[entry.id].task if entry.is_learned else entry.family
            cells = (
                f"`{entry.id}`",
                f"**{entry.name}**, {kind}. {entry.citation}",
                f"{entry.ratios}. Sees: {entry.reach}",
                entry.parity,
            )
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def with_tables(page: str) -> str:
    """Return the page with its tables made anew."""
    for group in GROUPS:
        marks = rf"(<!-- table: {group} -->\n\n).*?(\n\n<!-- end -->)"
        page = re.sub(marks, lambda m, g=group: m[1] + table(g) + m[2], page, flags=re.DOTALL)
    return page


def main() -> None:
    """Print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put them into docs/methods.md")
    if parser.parse_args().write:
        DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print("\n\n".join(table(group) for group in GROUPS))


if __name__ == "__main__":
    main()
