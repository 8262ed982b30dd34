"""What the demo leaves behind: a report for programs and tables for people."""

import json
from pathlib import Path

from rich.console import Console

from stack.demo.report import Comparison, DemoReport, Step

AGREED = {"rows": 1_000, "added": 3, "updated": 2, "deleted": 1, "digest": "a" * 64}


def made() -> DemoReport:
    report = DemoReport(steps=[Step("publish", "1 · publishes", ok=True, facts={"rows": 1_000})])
    report.rows |= {"published": 1_000, "quarantined": 10, "delivered": 1_000, "applied": 1_000}
    report.comparisons += [
        Comparison("health · first", "one", {"rows": 1_010}, AGREED, AGREED, "agreed"),
        Comparison("health · second", "two", {}, AGREED, AGREED | {"digest": "b" * 64}, "differs"),
    ]
    return report


def test_a_program_finds_the_figures_of_the_delivery(tmp_path: Path) -> None:
    made().write(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_bytes())

    assert written["ok"] is True
    assert written["rows"] == {
        "published": 1_000,
        "quarantined": 10,
        "delivered": 1_000,
        "applied": 1_000,
    }
    assert [written[name] for name in ("reconciled", "tamper_detected", "late_joiner_equal")] == [
        False
    ] * 3
    assert [each["state"] for each in written["comparisons"]] == ["agreed", "differs"]


def test_people_see_the_figures_of_all_sides_in_one_line() -> None:
    console = Console(width=120)
    with console.capture() as shown:
        made().show(console)
    lines = shown.get().splitlines()

    first = next(line for line in lines if "│ rows  " in line and "1,010" in line)
    assert [cell.strip() for cell in first.split("│")][3:6] == ["1,010", "1,000", "1,000"]
    assert any("aaaaaaaaaaaa…" in line and "bbbbbbbbbbbb…" in line for line in lines)
    assert any("differs: alert" in line for line in lines)


def test_the_moment_of_most_memory_is_kept() -> None:
    memory = DemoReport().memory
    memory.note({"kafka": 3 << 20, "postgres": 5 << 20})
    memory.note({"kafka": 4 << 20, "postgres": 1 << 20})

    assert (memory.mib, memory.mib_of) == (8, {"postgres": 5, "kafka": 3})
