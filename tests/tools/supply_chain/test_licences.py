"""The check of the licences of all installed packages."""

from __future__ import annotations

from importlib.metadata import PathDistribution, distributions

import pytest

from tools.supply_chain.licences import check, is_allowed, read_rules, report

RULES = read_rules()


@pytest.fixture
def installed(tmp_path):
    """Return a maker of installed packages with lines of metadata."""

    def make(*lines):
        folder = tmp_path / "one-1.0.dist-info"
        folder.mkdir()
        head = ["Metadata-Version: 2.4", "Name: one", "Version: 1.0"]
        (folder / "METADATA").write_text("\n".join([*head, *lines]) + "\n")
        return [PathDistribution(folder)]

    return make


def test_the_licences_of_this_environment_are_allowed():
    """Each installed package has a licence of the list, and has a line."""
    packages = check(distributions(), RULES)
    assert [one for one in packages if not one.is_allowed] == []
    assert {"apache-airflow", "pandas", "psycopg"} <= {one.name for one in packages}
    assert len(list(report(packages))) == len(packages)


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        (["License-Expression: MIT OR GPL-3.0-only", "License: GPL"], "MIT OR GPL-3.0-only"),
        (["License: Apache License 2.0"], "Apache-2.0"),
        (["License: BSD", "Classifier: License :: OSI Approved :: BSD License"], "BSD"),
        (["License: MIT", "Classifier: License :: OSI Approved :: Apache Software License"], "MIT"),
        (
            [f"License: {'the text of a licence ' * 9}", "Classifier: License :: X :: MIT License"],
            "MIT",
        ),
    ],
)
def test_the_name_is_found_in_old_and_new_metadata(installed, lines, licence):
    """The expression comes before the field, and the field before the classifiers."""
    (one,) = check(installed(*lines), RULES)
    assert (one.licence, one.is_allowed) == (licence, True)


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        (["License-Expression: GPL-3.0-only"], "GPL-3.0-only"),
        (["License-Expression: MIT AND AGPL-3.0-only"], "MIT AND AGPL-3.0-only"),
        ([], "none"),
        (["Classifier: License :: Other/Proprietary License"], "(Other/Proprietary License)"),
    ],
)
def test_another_licence_is_refused_by_name(installed, lines, licence):
    """The last line names the package, the licence, and the next step."""
    packages = check(installed(*lines), RULES)
    assert not packages[0].is_allowed
    last = list(report(packages))[-1]
    assert last.startswith(f"one 1.0: the licence {licence} is not allowed. Take another")
    assert "licences.yaml" in last


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("GPL-2.0-only OR MIT", True),
        ("GPL-2.0-only AND MIT", False),
        ("GPL-2.0-only OR MIT AND ISC", True),
        ("(GPL-2.0-only OR MIT) AND ISC", True),
        ("(GPL-2.0-only OR MIT) AND GPL-3.0-only", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
    ],
)
def test_expressions_of_spdx(expression, expected):
    """OR needs one allowed side, AND all of them; an exception only permits more."""
    assert is_allowed(expression, frozenset({"MIT", "ISC", "Apache-2.0"})) is expected


def test_each_allowed_licence_is_used_or_a_relative_is():
    """The list of spellings leads to allowed licences only."""
    assert set(RULES.spellings.values()) <= RULES.allowed
