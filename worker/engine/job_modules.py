"""Import the job packages, and see what each module opens while it is imported.

Modules are imported before the fork, so that consumers share their memory. A socket that is opened then is shared, too:
consumers read each other's answers. A thread that is started then runs in none of them.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

from worker.engine.unpickling import belongs
from worker.exits import Exit
from worker.process import opened

#: What to do about what a module opens.
FIX: Final = (
    "Open it in consumer_started of the package's lifecycle module (docs/lifecycle.md), or when it is first used; or "
    "set WORKER_PRELOAD=false."
)


#: What comes of it, by WORKER_PRELOAD.
_EFFECTS: Final = {
    "auto": "Each consumer imports the job modules for itself, which costs memory.",
    "true": "All consumers share it, and read each other's answers; a thread runs in none of them.",
}


def effect(preload: str) -> str:
    """Say what comes of something that a module opens, with this value of WORKER_PRELOAD (not false)."""
    return _EFFECTS[preload]


def not_in_image(package: str) -> str:
    """Say what brings a package beside `jobs` into the image, which holds only what is named."""
    return f"An image has it with `COPY {package} {package}` in the Dockerfile and `!{package}` in .dockerignore."


class BadJobModule(Exception):
    """A job module cannot be imported; the message is a sentence that says which, why, and what to do."""

    exit = Exit.BOOT_FAILED

    def __init__(self, module: str, error: Exception) -> None:
        package = module.partition(".")[0]
        missing = isinstance(error, ModuleNotFoundError) and error.name == package
        super().__init__(
            f"WORKER_JOB_MODULES: the module {module} cannot be imported ({type(error).__name__}: {error}). Correct "
            f"it, or remove its package from the variable." + f" {not_in_image(package)}" * missing
        )
        self.module = module


def import_all(packages: Sequence[str]) -> dict[str, list[str]]:
    """Import every module of the packages; return in words what stays open of what each module has opened itself.

    Raises `BadJobModule`.
    """
    with _Watch(packages).watching() as watch:
        for package in packages:
            name = package
            try:
                module = import_module(name)
                watch.note(name)
                for found in pkgutil.walk_packages(getattr(module, "__path__", ()), prefix=f"{package}."):
                    name = found.name
                    if not name.endswith(".__main__"):
                        import_module(name)
                        watch.note(name)
            except Exception as error:
                raise BadJobModule(name, error) from error
    return watch.left_open()


class _Watch:
    """A finder of modules that compares what is open before and after each module of some packages is executed."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = frozenset(packages)
        self._known = opened.look()
        self._importing: list[str] = []  #: modules that are being executed; each imports the next
        self._by_module: dict[str, dict[Any, str]] = {}

    @contextmanager
    def watching(self) -> Iterator[_Watch]:
        sys.meta_path.insert(0, self)
        try:
            yield self
        finally:
            sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find what Python's own finder would find, and execute it between two looks."""
        if not belongs(name, self._packages):
            return None
        spec = PathFinder.find_spec(name, path, target)
        loader = spec.loader if spec is not None else None
        if loader is None or not hasattr(loader, "exec_module"):
            return spec
        execute = loader.exec_module

        def watched(module: ModuleType) -> None:
            self.note()
            self._importing.append(name)
            try:
                execute(module)
            finally:
                self.note()
                self._importing.pop()

        loader.exec_module = watched  # type: ignore[method-assign]
        return spec

    def note(self, imported: str = "") -> None:
        """Put down what has been opened since the last look, on the account of the module that is being executed.

        Outside of all, `imported` is the module that another finder has found and that has been executed meanwhile.
        """
        now = opened.look()
        new = {key: words for key, words in now.items() if key not in self._known}
        module = self._importing[-1] if self._importing else imported
        if new and module:
            self._by_module.setdefault(module, {}).update(new)
        self._known = now

    def left_open(self) -> dict[str, list[str]]:
        """Return what is open still, by the module that opened it."""
        now = opened.look()
        left = {
            module: [words for key, words in found.items() if now.get(key) == words]
            for module, found in self._by_module.items()
        }
        return {module: words for module, words in left.items() if words}
