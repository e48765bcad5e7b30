"""Both modules learned in turn; what one of them fails with does not keep the other waiting."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from jobs.job import RunLost, RunStopped
from learning.domain.pattern_key import Module
from learning.errors import LearningError
from learning.store.database import is_passing

log = logging.getLogger("edgekeeper.jobs")


@dataclass(slots=True)
class ModuleFailures:
    """What went wrong, by module, until the job has done what it could."""

    errors: dict[Module, Exception] = field(default_factory=dict)

    @contextlib.contextmanager
    def kept(self, module: Module) -> Iterator[None]:
        """Keep what a module's part raises, so that the next module has its turn."""
        try:
            yield
        except (RunLost, RunStopped):
            raise
        except Exception as error:  # whatever a module's trades bring about: ``tell`` raises it
            if is_passing(error):  # no module's own failure: all of the run is tried again
                raise
            log.warning("%s: %s", module, error, exc_info=not isinstance(error, LearningError))
            self.errors[module] = error

    def tell(self) -> None:
        """Raise what was kept: one error as it is, two that differ as one sentence each.

        Raises:
            LearningError: If both modules failed, each in its own way.
            Exception: What the one module failed with, or both.
        """
        errors = list(self.errors.values())
        if not errors:
            return
        first = errors[0]
        if len({_sentence(error) for error in errors}) == 1:  # it is not about a module
            raise first
        kind = type(first) if isinstance(first, LearningError) else LearningError
        told = (f"{module}: {_sentence(error)}" for module, error in self.errors.items())
        raise kind("; ".join(told)) from first


def _sentence(error: Exception) -> str:
    known = isinstance(error, LearningError)
    return str(error) if known else f"{type(error).__name__}: {error}"
