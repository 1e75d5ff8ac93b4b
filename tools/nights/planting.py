"""Plant a mistake in the text of a shipped module while Python imports it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import NamedTuple


class Mutant(NamedTuple):
    """A mistake.

    :param old: Text that stands once in the module.
    :param seed: A seed that shows it, which is tried first.
    :param also: Modules, texts and new texts of the mistake's other parts, where two mechanisms
        keep one promise.
    """

    name: str
    module: str
    old: str
    new: str
    seed: int = 0
    also: tuple[tuple[str, str, str], ...] = ()

    @property
    def changes(self) -> dict[str, tuple[str, str]]:
        """Return the texts and new texts by module."""
        parts = ((self.module, self.old, self.new), *self.also)
        return {f"airflow_kombo.{module}": (old, new) for module, old, new in parts}


class _Loader(SourceFileLoader):
    """Loader of a module with a mistake."""

    mutant: Mutant

    def get_code(self, fullname: str) -> CodeType:
        old, new = self.mutant.changes[fullname]
        source = self.get_data(self.path).decode()
        if source.count(old) != 1:
            raise ImportError(f"{self.mutant.name}: its text does not stand once in {fullname}")
        mutated = source.replace(old, new)
        return compile(mutated, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002 - the base's
    ) -> ModuleSpec | None:
        if fullname not in self._mutant.changes:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec and spec.origin:
            spec.loader = _Loader(fullname, spec.origin)
            spec.loader.mutant = self._mutant
        return spec


def plant(mutant: Mutant) -> None:
    """Plant a mistake in the package before any import of it."""
    if any(module.startswith("airflow_kombo.") for module in sys.modules):
        raise RuntimeError("The package is imported already.")
    sys.meta_path.insert(0, _Finder(mutant))
