"""Which scope dimensions a module's evidence rests on; only a person changes them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from learning.domain.pattern_key import Module
from learning.domain.scope import Scope
from learning.errors import ConfigError
from learning.evidence.outcome_choice import OUTCOMES
from learning.settings import Settings
from learning.store import lesson_rows, mining_run_rows
from learning.store.mining_run_rows import StoredRun

DIMENSIONS = "dimensions"  # where a run's details name its list


def dimensions_of(run: StoredRun) -> tuple[str, ...] | None:
    """Return the list that a run worked under; None where it does not say."""
    reference = run.details.get("reference", {})
    named = run.details.get(DIMENSIONS, reference.get("dims"))
    return None if named is None else tuple(named)


def is_under(run: StoredRun, dims: Sequence[str]) -> bool:
    """Say whether a run worked under a list; one that does not name its list is taken at that."""
    return dimensions_of(run) in (None, tuple(dims))


def is_within(scope: Scope, dims: Sequence[str]) -> bool:
    """Say whether every condition of a scope is on a configured dimension."""
    return set(scope) <= set(dims)


def dimensions_in_force(connection: Connection, module: Module) -> tuple[str, ...] | None:
    """Return the list of the newest run or change that names one; None where none does."""
    runs = (
        mining_run_rows.last_run(connection, module),
        _last_discovery(connection, module),
    )
    named = (dimensions_of(run) for run in runs if run is not None)
    return next((dims for dims in named if dims is not None), None)


def check_dimensions(connection: Connection, module: Module, settings: Settings) -> None:
    """Let a job learn only under the list in force.

    Raises:
        ConfigError: If the settings name another list than the one that the module's lessons
            or its last discovery look rest on.
    """
    asked = settings.dimensions(module)
    in_force = dimensions_in_force(connection, module)
    if in_force is None or in_force == asked or not _is_settled(connection, module):
        return
    raise ConfigError(
        f"EDGEKEEPER_{module.upper()}_DIMENSIONS asks for {','.join(asked)}, but the evidence of "
        f"{module} rests on {','.join(in_force)}; ./run dimensions {module} --reason … changes it "
        "and sends every active lesson back to proposed"
    )


def _is_settled(connection: Connection, module: Module) -> bool:
    """Whether there is anything that another list would silently reinterpret."""
    if _last_discovery(connection, module) is not None:
        return True
    return bool(lesson_rows.read_lessons(connection, module))


def _last_discovery(connection: Connection, module: Module) -> StoredRun | None:
    """Return the newest discovery look of a module, on whatever outcome."""
    looks = (mining_run_rows.last_discovery(connection, module, one) for one in OUTCOMES)
    found = [look for look in looks if look is not None]
    return max(found, key=lambda look: look.run_id, default=None)
