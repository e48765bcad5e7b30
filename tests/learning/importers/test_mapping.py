import pytest

from learning.errors import ConfigError
from learning.importers.mapping import mapping_from, read_mapping


def test_a_mapping_file_may_be_yaml_or_json(tmp_path):
    yaml, json = tmp_path / "m.yaml", tmp_path / "m.json"
    yaml.write_text("columns:\n  trade_id: Ticket\ntime_zone: Europe/Berlin\n")
    json.write_text('{"columns": {"trade_id": "Ticket"}, "time_zone": "Europe/Berlin"}')
    assert read_mapping(yaml) == read_mapping(json)
    assert read_mapping(yaml).column("trade_id") == "Ticket"
    assert read_mapping(yaml).column("exit_time") == "exit_time"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ([], "must be a table"),
        ({"colums": {}}, "unknown part 'colums'"),
        ({"columns": ["a"]}, "columns of mapping must be a table"),
        ({"columns": {"trade_id": 3}}, "must pair two names"),
        ({"dimensions": {"my session": "Session"}}, "must be a plain name"),
        ({"constants": {"bucket": "x" * 65}}, "at most 64 characters"),
        ({"constants": {"bucket": [1]}}, "text or an integer"),
        ({"pattern": "{Setup}"}, "pattern of mapping: pattern_key must be"),
        ({"pattern": "xx.{a}.{b}.{c}"}, "must start with one of"),
        ({"time_zone": "Mars/Olympus"}, "must be a zone name such as .*, got 'Mars/Olympus'"),
        ({"time_zone": "../../etc/passwd"}, "must be a zone name"),
        ({"decimal": "'"}, "decimal of mapping must be one of"),
        ({"origin": "paper"}, "origin of mapping must be one of"),
    ],
)
def test_a_mapping_that_breaks_a_rule_is_refused_by_name(content, rule):
    with pytest.raises(ConfigError, match=rule):
        mapping_from(content)


def test_a_mapping_file_runs_nothing(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("columns: !!python/object/apply:os.system ['touch pwned']\n")
    with pytest.raises(ConfigError, match="no valid YAML"):
        read_mapping(path)
