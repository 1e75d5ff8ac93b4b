"""Command of `make licences`: list the licences of all installed packages, and check them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

import yaml
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import canonicalize_name

RULES: Final = Path(__file__).with_name("licences.yaml")
_FIELDS: Final = ("License-Expression", "License")
_LONGEST_NAME: Final = 60
"""Characters; a longer field License has the licence's text, not its name."""


@dataclass(frozen=True)
class Rules:
    """The content of licences.yaml.

    :param allowed: Licences that a package may have.
    :param spellings: Names of metadata, each with SPDX's name.
    :param packages: Packages whose licence was read by a person; it is allowed.
    """

    allowed: frozenset[str]
    spellings: Mapping[str, str]
    packages: Mapping[str, str]


@dataclass(frozen=True)
class Package:
    """An installed package with its licence, as SPDX writes it, or as the metadata does."""

    name: str
    version: str
    licence: str
    is_allowed: bool


def read_rules(path: Path = RULES) -> Rules:
    """Read the allowed licences."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Rules(frozenset(found["allowed"]), found["spellings"], found["packages"])


def check(installed: Iterable[Distribution], rules: Rules) -> list[Package]:
    """Return the packages with their licences, by name."""
    found = {canonicalize_name(one.metadata["Name"]): one for one in installed}
    return [_package(name, found[name], rules) for name in sorted(found)]


def _package(name: str, one: Distribution, rules: Rules) -> Package:
    if licence := rules.packages.get(name):
        return Package(name, one.version, licence, is_allowed=True)
    licence = _licence_of(one, rules)
    return Package(name, one.version, licence, is_allowed(licence, rules.allowed))


def _licence_of(one: Distribution, rules: Rules) -> str:
    """Return the licence by SPDX's names; several classifiers are read as all of them."""
    fields = (text for name in _FIELDS for text in one.metadata.get_all(name) or ())
    for text in fields:
        if len(text) <= _LONGEST_NAME and (known := _spdx(text.strip(), rules)):
            return known
    classifiers = one.metadata.get_all("Classifier") or []
    names = [text.split(" :: ")[-1] for text in classifiers if text.startswith("License ::")]
    return " AND ".join(_spdx(name, rules) or f"({name})" for name in names) or "none"


def _spdx(text: str, rules: Rules) -> str | None:
    if text in rules.spellings:
        return rules.spellings[text]
    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return None


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Return True if one side of each OR, and all sides of each AND, are allowed."""
    if expression in allowed:
        return True
    for word, holds in (("OR", any), ("AND", all)):
        parts = _split(expression, word)
        if len(parts) > 1:
            return holds(is_allowed(part, allowed) for part in parts)
    if inner := re.fullmatch(r"\((.*)\)", expression):
        return is_allowed(inner[1], allowed)
    # An exception (`WITH`) only permits more.
    licence, _, exception = expression.partition(" WITH ")
    return bool(exception) and licence in allowed


def _split(expression: str, word: str) -> list[str]:
    """Split an expression at a word that is in no parentheses."""
    parts: list[list[str]] = [[]]
    depth = 0
    for token in re.findall(r"[()]|[^\s()]+", expression):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == word and not depth:
            parts.append([])
        else:
            parts[-1].append(token)
    return [" ".join(part).replace("( ", "(").replace(" )", ")") for part in parts]


def report(packages: Iterable[Package]) -> Iterator[str]:
    """Yield a line for each package, and those to act on last."""
    refused = []
    for one in packages:
        yield f"{one.name:42} {one.version:14} {one.licence}"
        if not one.is_allowed:
            refused.append(one)
    for one in refused:
        yield (
            f"{one.name} {one.version}: the licence {one.licence} is not allowed. Take another"
            f" package; or read the licence, and add it to {RULES.name} with the reason."
        )


def main() -> None:
    """Print the licences of this environment; exit with 1 if one is not allowed."""
    packages = check(distributions(), read_rules())
    sys.stdout.writelines(f"{line}\n" for line in report(packages))
    refused = [one for one in packages if not one.is_allowed]
    sys.stdout.write(f"{len(packages)} packages, {len(refused)} with a licence to look at.\n")
    sys.exit(bool(refused))


if __name__ == "__main__":
    main()
