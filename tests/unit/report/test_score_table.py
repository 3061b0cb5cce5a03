"""Tables of records: means, marks, tests and formats against values computed by hand."""

from __future__ import annotations

import csv
import io
import math

import pytest

from bandweave.report.formats import comma_separated, latex, markdown
from bandweave.report.records import Record
from bandweave.report.significance import mean_ranks, paired_p_values
from bandweave.report.table import Cell, Row, ScoreTable, score_table

PSNR = {"exp": (30.0, 32.0, 34.0), "gsa": (31.0, 35.0, 36.0), "tv": (31.0, 34.0, 40.0)}
SAM = {"exp": (3.0, 4.0, 5.0), "gsa": (2.0, 2.0, 2.0), "tv": (1.0, 2.5, 4.0)}


def record(row: str, image: int, **more) -> Record:
    values = {"psnr": PSNR[row][image], "sam": SAM[row][image]}
    settings = {"state": "done", "values": values, "seconds": 1.0 + image, **more}
    return Record("set", row, str(image), digest="d", method=row, name=row.upper(), **settings)


def table(records: list[Record] | None = None, **more) -> ScoreTable:
    if records is None:
        records = [record(row, image) for image in range(3) for row in PSNR]
    return score_table(
        records, id="set", title="A_set", protocol="dlpan-rr", metrics=("psnr", "sam"), **more
    )


def test_means_spreads_and_marks() -> None:
    made = table()
    cell = made.rows[0].cells["psnr"]
    # Squared differences from 32: 4, 0, 4; divided by n - 1 = 2.
    assert (cell.mean, cell.std, cell.count) == (32.0, 2.0, 3)
    assert made.rows[0].seconds == 2.0
    # Means: 32, 34, 35 (higher is better); 4, 2, 2.5 (lower is better).
    assert made.marks() == {
        ("tv", "psnr"): "best",
        ("gsa", "psnr"): "second",
        ("gsa", "sam"): "best",
        ("tv", "sam"): "second",
    }


def test_equal_means_share_a_mark() -> None:
    records = []
    for row in ("a", "b", "c"):
        value = 30.0 if row == "c" else 31.0
        records.append(
            Record("set", row, "0", "done", "d", "exp", row, values={"psnr": value, "sam": 1.0})
        )
    marks = table(records).marks()
    assert marks["a", "psnr"] == marks["b", "psnr"] == "best"
    assert marks["c", "psnr"] == "second"
    assert {marks[row, "sam"] for row in "abc"} == {"best"}


def test_ranks_share_ties() -> None:
    ranks = mean_ranks(table())
    # Image 0: gsa and tv tie for 1.5; image 1: gsa, tv, exp; image 2: tv, gsa, exp.
    assert ranks["gsa", "psnr"] == pytest.approx((1.5 + 1 + 2) / 3)
    assert ranks["tv", "psnr"] == pytest.approx((1.5 + 2 + 1) / 3)
    assert ranks["exp", "psnr"] == pytest.approx(3)


def signed_rank_p(differences: list[float]) -> float:
    """Enumerate all signs: the exact two-sided p without ties."""
    order = sorted(range(len(differences)), key=lambda k: abs(differences[k]))
    ranks = {k: place + 1 for place, k in enumerate(order)}
    total = sum(ranks.values())
    seen = sum(rank for k, rank in ranks.items() if differences[k] > 0)
    extreme = min(seen, total - seen)
    n = len(differences)
    below = sum(
        sum(ranks[k] for k in range(n) if signs >> k & 1) <= extreme for signs in range(2**n)
    )
    return min(1.0, 2 * below / 2**n)


def test_paired_tests_equal_the_enumeration_of_all_signs() -> None:
    worse = [0.1, 0.25, -0.05, 0.4, 0.6, 0.85, 0.3]
    records = []
    for image, step in enumerate(worse):
        for row, psnr in (("a", 30.0 + image), ("b", 30.0 + image - step)):
            values = {"psnr": psnr, "sam": 1.0}
            records.append(Record("set", row, str(image), "done", "d", "exp", row, values=values))
    p_values = paired_p_values(table(records))
    assert p_values["b", "psnr"] == pytest.approx(signed_rank_p(worse))
    assert ("a", "psnr") not in p_values
    # No difference on any image.
    assert p_values["b", "sam"] == 1.0


def test_incomplete_rows_are_shown_but_not_compared() -> None:
    records = [record(row, image) for image in range(3) for row in PSNR]
    records[2] = record("tv", 0, state="failed", values={}, error="It broke.")
    made = table(records)
    assert {row for row, _ in made.marks()} == {"exp", "gsa"}
    assert ("tv", "psnr") not in mean_ranks(made)
    text = markdown([made])
    assert "37.000 ± 4.243 (n = 2)" in text
    assert "* TV, 0: It broke." in text


def test_values_that_say_nothing_are_in_parentheses_and_not_ranked() -> None:
    records = [
        record(row, image, meaningless=("psnr",) if row == "tv" else ())
        for image in range(3)
        for row in PSNR
    ]
    made = table(records)
    assert made.marks()["gsa", "psnr"] == "best"
    assert ("tv", "psnr") not in mean_ranks(made)
    # Ranked by SAM alone, so that its mean rank would say something else than the others'.
    line = next(line for line in markdown([made]).splitlines() if line.startswith("| TV"))
    assert line == "| TV | (35.000 ± 4.583) | <u>2.500 ± 1.500</u> | – | 2 |"
    assert r"& (35.000 $\pm$ 4.583) &" in latex([made])


PUBLISHED = Row("gsa", "GSA", "gsa", {"psnr": Cell(99.0, 1.0, 20)}, is_published=True)
OTHER = Row("pnn", "PNN", "pnn", {"sam": Cell(0.5, 0.25, 20)}, is_published=True)


def test_markdown_by_hand() -> None:
    lines = markdown([table(published=[PUBLISHED, OTHER])]).splitlines()
    assert lines[0] == "## A_set"
    start = lines.index("| method | PSNR (dB) ↑ | SAM (°) ↓ | mean rank | s per image |")
    assert lines[start + 2 : start + 8] == [
        "| EXP | 32.000 ± 2.000 | 4.000 ± 1.000 | 3.00 | 2 |",
        # Ranks 1.5 (PSNR) and 2, 1, 1 (SAM).
        "| GSA | <u>34.000 ± 2.646</u> | **2.000 ± 0.000** | 1.42 | 2 |",
        "| *GSA (published)* | 99.000 ± 1.000 | – | – | – |",
        "| TV | **35.000 ± 4.583** | <u>2.500 ± 1.500</u> | 1.58 | 2 |",
        "| *PNN (published)* | – | 0.500 ± 0.250 | – | – |",
        "| ideal | ∞ | 0 | 1 | – |",
    ]
    assert any("cannot fall below 0.25" in line for line in lines)


def test_latex_by_hand() -> None:
    text = latex([table(published=[PUBLISHED])])
    assert r"GSA & \underline{34.000} $\pm$ 2.646 & \textbf{2.000} $\pm$ 0.000 \\" in text
    assert r"\textit{GSA (published)} & 99.000 $\pm$ 1.000 & -- \\" in text
    assert r"\caption{A\_set." in text
    assert r"ideal & $+\infty$ & 0 \\" in text
    for word in ("toprule", "midrule", "bottomrule"):
        assert f"\\{word}" in text
    body = text[text.index(r"\begin{tabular}") : text.index(r"\end{tabular}")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") - line.count(r"\&") for line in lines} == {2}


def test_csv_is_read_back() -> None:
    rows = list(csv.DictReader(io.StringIO(comma_separated([table(published=[PUBLISHED])]))))
    assert [(row["row"], row["origin"]) for row in rows] == [
        ("exp", "ours"),
        ("gsa", "ours"),
        ("gsa", "published"),
        ("tv", "ours"),
    ]
    assert float(rows[1]["psnr_mean"]) == 34.0
    assert float(rows[1]["psnr_std"]) == pytest.approx(math.sqrt(7))
    assert float(rows[1]["psnr_mean_rank"]) == 1.5
    assert rows[2]["psnr_mean_rank"] == ""
    assert rows[2]["sam_mean"] == ""
