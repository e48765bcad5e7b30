"""What a bot obeys: the snapshots of its overrides, and the kill switch, as of one moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.errors import LearningError
from learning.store.schema import edgekeeper_state, kill_switch, learning_configs

CHANNEL = "edgekeeper_overrides"
# As of the start of the process: a newer version may be put in its place while it runs.
_REVISIONS = frozenset(
    path.name.partition("_")[0]
    for path in (Path(__file__).parents[2] / "migrations" / "versions").glob("*_*.py")
)


class ConfigMissing(LearningError):
    """The state, the kill switch or a config cannot be read as what it must be."""


@dataclass(frozen=True, slots=True)
class ConfigMark:
    """What to obey, without the overrides themselves: cheap enough to read twice a second.

    ``fingerprint`` changes whenever a row of ``learning_configs`` is written, whatever it says.
    ``read_on`` is the database's clock, in seconds since 1970, UTC; ``schema_revision`` that of
    the tables.
    """

    generation: int
    revision: int
    overrides_on: bool
    switch_revision: int
    fingerprint: str
    read_on: float
    schema_revision: str | None

    @property
    def of_a_newer_version(self) -> str | None:
        """Why this version must not read it: the tables are newer; None where they are not."""
        if not _REVISIONS or self.schema_revision in _REVISIONS:
            return None
        return (
            f"the tables are at revision {self.schema_revision!r}, which this version of "
            "Edgekeeper does not know: a newer one made them; update the bot and restart it"
        )


_MARK = sa.select(
    edgekeeper_state.c.generation,
    edgekeeper_state.c.revision,
    kill_switch.c.overrides_on,
    kill_switch.c.switch_revision,
    sa.select(
        sa.func.coalesce(
            # xmin is the transaction that wrote the row
            sa.func.string_agg(
                learning_configs.c.module + sa.literal_column("':' || learning_configs.xmin::text"),
                sa.text("' ' ORDER BY learning_configs.module"),
            ),
            "",
        )
    )
    .scalar_subquery()
    .label("fingerprint"),
    sa.func.extract("epoch", sa.func.clock_timestamp()).cast(sa.Double).label("read_on"),
    sa.literal_column("(SELECT max(version_num) FROM alembic_version)").label("schema_revision"),
).select_from(edgekeeper_state.join(kill_switch, sa.true()))


def read_mark(connection: Connection) -> ConfigMark:
    """Return what to obey, from one statement and so from one moment.

    Raises:
        ConfigMissing: If the state or the kill switch has no row.
    """
    row = connection.execute(_MARK).one_or_none()
    if row is None:
        raise ConfigMissing("edgekeeper_state and kill_switch must have one row each, got none")
    return ConfigMark(*row)


def read_configs(connection: Connection) -> tuple[ConfigMark, Mapping[str, object]]:
    """Return the mark and each module's ``config_data``, both of one moment.

    Raises:
        ConfigMissing: As ``read_mark``; or if a config is no JSON that can be decoded.
    """
    configs = (
        sa.select(
            sa.func.json_object_agg(
                learning_configs.c.module, sa.cast(learning_configs.c.config_data, sa.Text)
            )
        )
        .scalar_subquery()
        .label("configs")
    )
    row = connection.execute(_MARK.add_columns(configs)).one_or_none()
    if row is None:
        raise ConfigMissing("edgekeeper_state and kill_switch must have one row each, got none")
    *mark, texts = row
    return ConfigMark(*mark), {
        module: _decoded(module, text) for module, text in (texts or {}).items()
    }


def _decoded(module: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigMissing(f"config_data of {module!r} must be readable JSON: {error}") from None
