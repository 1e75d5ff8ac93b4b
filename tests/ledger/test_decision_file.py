"""The CSV of unknown rows: from the ledger to a spreadsheet and back."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.quick import examples

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.ledger.csv_cells import protected, unprotected
from airflow_kombo.ledger.decision_file import (
    DecidedLine,
    UnknownRow,
    lines_of_decisions,
    lines_of_unknown,
    read_decisions,
    text_of,
)
from airflow_kombo.statuses import Decision

SENT_AT = datetime(2026, 11, 4, 2, 0, 1, tzinfo=timezone.utc)
HEAD = "result_id,integration_id,target_type,target_id,attempt,decision,reason\r\n"
R1 = LinkKey("workday:one", "candidate", "c1", "r1")


def unknown(key=R1, attempt=1):
    integration_id, target_type, target_id, result_id = key
    url = "https://results.example/r1"
    return UnknownRow(
        SENT_AT, integration_id, target_type, target_id, url, result_id, "run_died", attempt
    )


def filled_in(exported, delimiter, decision="Not  Created ", reason="not in the logs"):
    """Return the CSV as saved by a spreadsheet, with a decision in each line."""
    lines = list(csv.DictReader(io.StringIO(exported.removeprefix("\ufeff"), newline="")))
    columns = [*reversed(lines[0]), "remarks"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    for line in lines:
        writer.writerow(line | {"decision": decision, "reason": reason, "remarks": "x"})
    return "\ufeff" + text.getvalue()


HOSTILE_ID = st.text(
    st.sampled_from([*" \t\r\n=+-@\"';;,|a1\u200b\uff1d\xe9"]), min_size=1, max_size=9
) | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1)


@settings(deadline=None, max_examples=examples(300))
@given(
    st.lists(HOSTILE_ID.filter(str.strip), min_size=4, max_size=4),
    st.sampled_from(",;\t"),
    HOSTILE_ID,
)
@example(["=1+1", "a;=1", 'x"y', "\n'=1"], ";", "=seen")
def test_a_filled_in_export_names_the_same_rows(ids, delimiter, reason):
    """Keys and reasons come back as they were, with any separator and any characters."""
    key = LinkKey(*ids)
    exported = "".join(lines_of_unknown([[unknown(key, 3)]]))
    file = read_decisions(filled_in(exported, delimiter, reason=protected(reason)), "default")
    (line,) = file.decided
    assert (line.key, line.attempt, line.decision) == (key, 3, Decision.NOT_CREATED)
    assert line.reason == (reason.strip() or "default")
    again = read_decisions(lines_of_decisions(file.decided))
    assert again.decided == [line]


@settings(deadline=None, max_examples=examples(300))
@given(HOSTILE_ID)
@example("'=1")
@example(";'=1")
@example("\n'\n=1")
def test_a_protected_text_is_read_back(text):
    """The apostrophes of an export are taken out again, and no other ones."""
    assert unprotected(protected(text)) == text


def test_no_text_takes_long_to_read_back():
    """The time for a long cell of separators grows with the length, not with the square."""
    for text in ("\n" * 300_000, ";\n" * 200_000, "'\n" * 200_000 + "="):
        assert unprotected(protected(text)) == text


def test_the_export_has_the_columns_of_a_search_in_kombos_logs():
    """A line has time, integration, target, URL and empty cells for a decision."""
    exported = "".join(lines_of_unknown([[unknown()]]))
    assert exported[0] == "\ufeff"
    (head, line) = csv.reader(io.StringIO(exported[1:]))
    assert head == [
        "sent_at", "integration_id", "target_type", "target_id", "url", "result_id",
        "error_code", "attempt", "decision", "reason",
    ]  # fmt: skip
    assert line[0] == "2026-11-04T02:00:01+00:00"
    assert line[-3:] == ["1", "", ""]


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"], ids=ascii)
def test_a_file_by_hand_may_be_short(end):
    """Lines without a decision are counted, empty lines are skipped, and a column may lack."""
    text = end.join(["Result_ID;integration_id;target_type;target_id;attempt;decision;",
                     "r1;workday:one;candidate;c1;1; CREATED ;", "",
                     "r2;workday:one;candidate;c2;1", ";;;;;;;;", ""])  # fmt: skip
    file = read_decisions(text, "seen")
    assert file.decided == [DecidedLine(2, R1, 1, Decision.CREATED, "seen")]
    assert file.undecided == 1


GOOD = "r1,workday:one,candidate,c1,1,created,seen"
WRONG = [
    ("", "does not name the columns integration_id, target_type, target_id, result_id, attempt"),
    ("r1,created", "does not name the columns"),
    (HEAD.replace("decision", "result_id"), "does not name the columns decision"),
    (HEAD.replace("reason", "decision"), "names a column twice"),
    (
        HEAD + GOOD.replace("created", "yes"),
        "no decision of created, not created, leave out, take back in line 2",
    ),
    (HEAD + GOOD.replace("seen", ""), "no reason for the decision in line 2"),
    (HEAD + GOOD.replace(",1,", ",1.0,"), "no number as attempt in line 2"),
    (HEAD + GOOD.replace("c1", " "), "no target_id in line 2"),
    (HEAD + GOOD + ",and so on", "more cells than columns in line 2"),
    (
        HEAD + GOOD + "\n" + GOOD.replace("created", "Not created"),
        "another decision than an earlier line's about the same row in line 3",
    ),
    (
        HEAD + GOOD + "\n" + GOOD.replace("created", ""),
        "another decision than an earlier line's about the same row in line 3",
    ),
    (HEAD + GOOD + '\n"r2,', "the quotes are wrong, or a cell is too long, in line 3"),
    (HEAD + GOOD + "\x00", "not UTF-8"),
    (HEAD + GOOD + "\ud800", "not UTF-8"),
    (
        HEAD + "r1,workday:one,candidate,c1,1,maybe,\r\n" * 13,
        "in lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more",
    ),
]


@pytest.mark.parametrize(("text", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_a_wrong_file_is_refused_with_its_lines(text, problem):
    """A file is refused as a whole; the error names problem and lines, and quotes no cell."""
    with pytest.raises(ConfigurationError, match="nothing is decided") as error:
        read_decisions(text)
    assert problem in str(error.value)
    assert "workday" not in str(error.value)


def test_all_problems_are_named_at_once():
    """One error has every problem of the file."""
    lines = [GOOD.replace("created", "yes"), GOOD.replace("seen", "").replace("r1", "r2")]
    with pytest.raises(ConfigurationError, match=r"in line 2; no reason .* in line 3"):
        read_decisions(HEAD + "\n".join(lines))


def test_a_line_that_comes_twice_counts_once():
    """A copied line with the same decision is no contradiction."""
    file = read_decisions(HEAD + f"{GOOD}\n{GOOD}")
    assert [line.line for line in file.decided] == [2]


@pytest.mark.parametrize("content", ["é".encode("cp1252"), "a".encode("utf-16")])
def test_another_encoding_is_refused(content):
    """A file in another encoding than UTF-8 is refused, with Excel's name for UTF-8."""
    with pytest.raises(ConfigurationError, match="CSV UTF-8"):
        read_decisions(text_of(content))
