"""Figures of the bench: the ideal, the targets, and the page in docs."""

from dataclasses import replace

import pytest

from tools.bench import scenarios
from tools.bench.counts import Counts, IntegrationCounts
from tools.bench.doubt import Kill, _findings
from tools.bench.measurement import Bench, Scale
from tools.bench.orders import Behaviour
from tools.bench.report import BEGIN, END, Report
from tools.bench.scenarios import ideal
from tools.bench.stage import Run
from tools.bench.targets import Finding, at_least, at_most

FINDING = Finding("Rows/s", "0.6", "≥ 0.5", met=True, n=50_000, others="3%")


def run():
    figures = dict.fromkeys(("seconds", "cpu", "peak_mb", "server_cpu", "postgres_cpu"), 1.0)
    figures |= {"others": 1.0, "machine": 4.0, "stood_still": 0.25}
    return Run(client="ours", rows=1, counts={}, server=Counts({}, {}), **figures)


def test_the_ideal_keeps_every_slot_at_work():
    """An integration's ideal is rows by mean latency, divided by slots."""
    steady = Behaviour(latency=(0.1, 0.3), limit=30)
    day = IntegrationCounts(links=3_000, work=600.0)
    assert ideal(steady, day) == pytest.approx(20.0)


def test_the_ideal_of_a_limit_that_falls_has_two_parts():
    """Rows before the fall use all slots, the others use the rest."""
    falling = Behaviour(latency=(0.1, 0.3), limit=30, falls_to=8, falls_after=1_500)
    seen = IntegrationCounts(links=3_000, work=600.0)
    assert ideal(falling, seen) == pytest.approx(10.0 + 37.5)


def test_the_bound_of_rows_in_doubt_grows_with_the_commit_time():
    """A kill's bound is twice what one commit uses up, and one row per integration."""
    kill = Kill(sending=300, on_the_wire=200, integrations=10, commit=0.02, response=0.2)
    assert kill.bound == pytest.approx(250)


def test_rows_in_doubt_are_counted_over_all_kills():
    """Both figures are of all kills, and the note has the kills within the formula."""
    kills = [
        Kill(sending=sending, on_the_wire=100, integrations=10, commit=0.02, response=0.2)
        for sending in (100, 130, 131)
    ]
    share, formula = _findings(10, kills)
    assert (share.measured.split()[0], share.met) == ("1.2", False)
    assert (formula.measured.split()[0], formula.met) == ("0.926", True)
    assert "2 of 3 kills" in formula.measured


@pytest.mark.parametrize(
    ("value", "least", "most"), [(0.49, False, True), (0.5, True, True), (0.51, True, False)]
)
def test_a_target_is_met_up_to_its_figure(value, least, most):
    """A figure equal to the target meets the target."""
    assert at_least("Rows/s", value, 0.5, 1, note="").met is least
    assert at_most("Rows/s", value, 0.5, 1, note="").met is most


def test_a_rate_has_its_cost_beside_it():
    """A rate on a busy machine says little, and CPU time per row says more."""
    figures = dict.fromkeys(("peak_mb", "server_cpu", "others", "machine", "stood_still"), 1.0)
    counts = {"counts": {}, "server": Counts({}, {})}
    one = Run(
        client="ours", rows=1_000, seconds=2.0, cpu=0.4, postgres_cpu=0.15, **figures, **counts
    )
    assert one.cost == "0.40 + 0.15 ms of CPU a row"


def test_others_are_those_of_the_scenario(monkeypatch):
    """Each figure names the share of the machine that others used in the runs of its scenario."""
    bench = Bench(stage=None, scale=Scale())
    bench.runs["rate"] = [run(), run(), replace(run(), others=2.0)]
    monkeypatch.setitem(scenarios.SCENARIOS, "rate", lambda _: [FINDING])
    monkeypatch.setitem(scenarios.SCENARIOS, "page", lambda _: [FINDING])
    assert [one.others for one in scenarios.measure(bench, "rate")] == ["25%"]
    assert [one.others for one in scenarios.measure(bench, "page")] == [""]


def test_the_results_replace_those_before_them(tmp_path):
    """The newest results are between the markers; the prose around stays."""
    page = tmp_path / "performance.md"
    page.write_text(f"# Prose\n{BEGIN}\nold\n{END}\nmore prose\n")
    report = Report({"CPU": "fast"}, [FINDING], {"throughput": [run()]})
    report.write_into(page)
    first = page.read_text()
    report.write_into(page)
    assert page.read_text() == first
    assert first.startswith(f"# Prose\n{BEGIN}\n")
    assert first.endswith(f"{END}\nmore prose\n")
    assert "| Rows/s | 0.6 | ≥ 0.5 | yes | 50,000 | 3% |" in first
    assert "- CPU: fast" in first
    assert "25%" in first
    assert "old" not in first


@pytest.mark.parametrize("text", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_its_markers_is_left_alone(tmp_path, text):
    """A page without markers is an error, and stays as it was."""
    page = tmp_path / "performance.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="once each"):
        Report({}, [FINDING], {"throughput": [run()]}).write_into(page)
    assert page.read_text() == text
