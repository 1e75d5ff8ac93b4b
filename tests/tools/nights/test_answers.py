"""The simulated Kombo's answers, beside the package's verdicts."""

import pytest

from airflow_kombo.exceptions import ResponseLostError
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import VERDICTS, Verdict, verdict_of
from tools.nights.answers import ANSWERS, BAD, CALM, USUAL, Proof

ALL = [answer for answers in ANSWERS.values() for answer in answers]
HEADERS = {"Concurrency-Limit": "30"}


@pytest.mark.parametrize("answer", ALL, ids=lambda answer: answer.name)
def test_the_package_reads_the_same_proof(answer):
    """The two tables, written apart from each other, agree on each answer."""
    if answer.status <= 0 or (answer.body is None and answer.status >= 300):
        verdict = verdict_of(ResponseLostError("lost"))
    else:
        headers = HEADERS if answer.is_kombos else {"Content-Type": "text/html"}
        verdict = KomboResponse.of(answer.status, headers, answer.body).verdict
    if answer.proof is Proof.MADE:
        assert verdict is Verdict.CREATED
    elif answer.proof is Proof.NONE:
        assert verdict is Verdict.UNKNOWN
    else:
        assert verdict not in {Verdict.CREATED, Verdict.UNKNOWN}


def test_every_published_code_is_answered():
    """A night can meet each of Kombo's published codes."""
    said = b" ".join(answer.body or b"" for answer in ALL).decode()
    assert {code for code in VERDICTS if f'"{code}"' not in said} == set()


def test_every_kind_of_answer_has_a_weight():
    """A usual and a bad Kombo give every kind of answer; a calm one makes every link."""
    assert USUAL.keys() == BAD.keys() == ANSWERS.keys()
    assert CALM.keys() == {"made"}
