from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from learning.bot.spool import Spool
from learning.store.delivery_rows import Delivery


def strand(number: int, **changes: object) -> Delivery:
    fields = {
        "strand_key": UUID(int=number), "kind": "pm_action", "module": "pm", "bot": "bot-a",
        "origin": "live", "position_id": None, "trade_id": f"T-{number}", "content": '{"a": 1}',
        "regime_context": None, "raw": None, **changes,
    }  # fmt: skip
    return Delivery(**fields)


def drained(spool: Spool) -> list[Delivery]:
    found: list[Delivery] = []
    spool.drain(found.extend)
    return found


def test_strands_come_back_as_they_were_and_once(tmp_path: Path):
    spool = Spool(tmp_path / "deep" / "bot.jsonl")
    wanted = [strand(1), strand(2, content=None, raw=b"\x00\xff"), strand(3, trade_id="Ü\n")]
    spool.append(wanted[:1])
    spool.append(wanted[1:])
    assert drained(spool) == wanted
    assert drained(spool) == []


def test_a_failed_delivery_leaves_everything(tmp_path: Path):
    spool = Spool(tmp_path / "bot.jsonl")
    spool.append([strand(i) for i in range(5)])
    taken: list[Delivery] = []

    def fails_later(batch: object) -> None:
        if taken:
            raise OSError("away")
        taken.extend(batch)

    with pytest.raises(OSError, match="away"):
        spool.drain(fails_later, batch=2)
    assert drained(spool) == [strand(i) for i in range(5)]


def test_a_line_that_a_crash_cut_off_is_set_aside_and_the_others_stay(tmp_path: Path):
    spool = Spool(tmp_path / "bot.jsonl")
    spool.append([strand(1)])
    with spool.path.open("ab") as file:
        file.write(b'{"strand_key": "0000')
    spool.append([strand(2)])
    assert drained(spool) == [strand(1), strand(2)]
    assert (tmp_path / "bot.unreadable.jsonl").read_bytes() == b'{"strand_key": "0000\n'


def test_an_empty_spool_makes_no_file(tmp_path: Path):
    spool = Spool(tmp_path / "bot.jsonl")
    spool.append([])
    assert drained(spool) == []
    assert not spool.path.exists()


def test_what_is_added_while_another_is_delivered_waits_for_nothing_and_stays(tmp_path: Path):
    """Adding within the delivery would wait for ever if a delivery held the lock."""
    spool = Spool(tmp_path / "bot.jsonl")
    spool.append([strand(1)])
    assert spool.drain(lambda batch: spool.append([strand(2)])) == 1
    assert drained(spool) == [strand(2)]
    assert drained(spool) == []


def test_of_two_that_deliver_at_once_neither_takes_out_what_the_other_did_not_see(tmp_path: Path):
    spool, other = Spool(tmp_path / "bot.jsonl"), Spool(tmp_path / "bot.jsonl")
    spool.append([strand(1)])

    def meanwhile(batch: object) -> None:
        assert drained(other) == [strand(1)]
        other.append([strand(3)])

    spool.drain(meanwhile)
    assert drained(spool) == [strand(3)]
