"""The `bandweave ...` lines of the documents, and how far each is run by the tests."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

# A line of an indented or fenced block; a launcher may stand before it.
_LINE = re.compile(r"^(?:    )?(?:\$ )?(?:bandweave|\S.* -m bandweave) (.+)$", re.MULTILINE)
_TEXT = re.compile(r"^(?=\S)(?!```).*\n", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

HOURS = "hours to days of training"
CLUSTER = "needs a cluster; tests/test_dask.py runs it on one"
CHECKPOINT = "a checkpoint that others published; tests/test_parity_*.py load them where they are"
REPORT = "the same as `report runs/smoke`, of runs that take hours"
SUITE = "minutes, or data of others; tests/test_benchmark_command.py runs small suites"

PLANNED = {
    "train PRESET --data FOLDER": HOURS,
    "train u2net-cave --data CAVE_FOLDER": HOURS,
    "train u2net-wv3-paper --data PANCOLLECTION": HOURS,
    "train pnn-wv3 --data PANCOLLECTION": HOURS,
    "train ablation-v1 --data PANCOLLECTION": HOURS,
    "train u2net-cave-paper --data CAVE_SETS": HOURS,
    "train u2net-cave-paper --data CAVE_SETS --set precision=bf16 --minutes 9": HOURS,
    "benchmark smoke --out runs/smoke": SUITE,
    "benchmark gf2 --data SET.h5 --out runs/gf2 -j 2": SUITE,
    "benchmark paper-table1 --data PANCOLLECTION --weights WEIGHTS --out runs/table1 -j 1": SUITE,
    "benchmark paper-table2 --data PANCOLLECTION --weights WEIGHTS --out runs/table2": SUITE,
    "benchmark paper-table3 --data PANCOLLECTION --weights WEIGHTS --out runs/table3": SUITE,
    "benchmark paper-table4 --data CAVE --weights WEIGHTS --out runs/table4": SUITE,
    "benchmark nop --data PANCOLLECTION --weights WEIGHTS --out runs/nop": SUITE,
}
"""Run with `--dry-run` added: settings, suite and data are read, nothing is computed. And why."""

PARSED = {
    "fuse PAN.tif MS.tif OUT.tif --method gsa --dask /shared/scheduler.json": CLUSTER,
    "batch DELIVERIES OUT --dask tcp://node1:8786": CLUSTER,
    "batch /shared/deliveries /shared/fused --no-overviews --dask $shared": CLUSTER,
    "fuse PAN.tif MS.tif OUT.tif --weights u2net_wv3_200000_iter.pth": CHECKPOINT,
    "weights u2net_wv3_200000_iter.pth --convert u2net-wv3.safetensors": CHECKPOINT,
    "weights u2net_wv3_200000_iter.pth --convert u2net-wv3-paper.safetensors": CHECKPOINT,
    "weights fusionnet.pth --convert fusionnet-wv3.safetensors --card card.json": CHECKPOINT,
    "report runs/table1 --figures figures/table1": REPORT,
    "report runs/table4 --figures figures": REPORT,
}
"""Only parsed by the program's own command line, so that a wrong option fails. And why."""

SHORTENED = {
    "adapt": ["--minutes", "0.001"],
    "demo": ["--size", "128"],
    "simulate pair": ["--patch", "16"],
    "simulate folder": ["--patch", "16"],
    "simulate cube": ["--patch", "16"],
    "train scenes.toml --data SCENES": [
        *("--set", "steps=2", "--set", "tile=16", "--set", "batch=2", "--set", "validate_every=2")
    ],
}
"""What is added to a command, or to one line, so that it is done soon on small images."""

REPLACED = {"PRESET": "u2net-cave"}
"""Words that stand for others."""


@dataclass(frozen=True)
class Documented:
    """One command of one page."""

    page: str
    """Path from the root of the project."""
    text: str
    """As written behind `bandweave`, without the comment."""

    def __str__(self) -> str:
        return f"{self.page}: bandweave {self.text}"

    @property
    def words(self) -> list[str]:
        """Return the arguments as a shell would pass them."""
        return [REPLACED.get(word, word) for word in shlex.split(self.text)]

    @property
    def verb(self) -> str:
        """Return the command's name, with that of the command below it."""
        return " ".join(self.words[: 2 if self.words[0] == "simulate" else 1])


def blocks(page: str) -> str:
    """Return the indented and fenced blocks of a page."""
    return "\n".join(_FENCED.findall(page)) + "\n" + _TEXT.sub("\n", _FENCED.sub("", page))


def documented() -> list[Documented]:
    """Return every command of every page; a line `a | b` stands for several."""
    found: dict[Documented, None] = {}
    for page in PAGES:
        for line in _LINE.findall(blocks(page.read_text(encoding="utf-8"))):
            for part in re.sub(r"\s+#.*", "", line).split(" | "):
                found[Documented(str(page.relative_to(ROOT)), part.strip())] = None
    return list(found)
