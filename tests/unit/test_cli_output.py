"""What commands print."""

import base64
import json

import pytest

from infra.cli.answers import read_json
from infra.cli.output import EXIT_CODES, Format, cell, data_line, print_error, print_rows
from shared.domain import errors


def test_control_characters_are_written_out_when_a_message_has_them() -> None:
    assert cell("a\x1b[31mb\x9bc\x00") == "a\\x1b[31mb\\x9bc\\x00"


def test_whole_rows_are_printed_when_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"id": "1", "more": [1]}], ["id"], Format.JSON)
    assert json.loads(capsys.readouterr().out) == [{"id": "1", "more": [1]}]


def test_a_table_keeps_brackets_when_a_value_looks_like_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"id": "[red]x"}], ["id"])
    assert "[red]x" in capsys.readouterr().out


def test_every_kind_of_error_has_its_own_exit_code_when_a_command_ends_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = [kind for kind in errors.SwitchboardError.__subclasses__() if kind.__module__ == errors.__name__]
    codes = [print_error(kind("said")) for kind in kinds]
    assert codes == [EXIT_CODES[kind.kind] for kind in kinds]
    assert len(set(codes)) == len(codes)
    assert EXIT_CODES["misconfigured"] == errors.Misconfigured.EXIT_CODE
    assert capsys.readouterr().err.count("switchboard: said") == len(kinds)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", ""),
        ("grüße\n\tan \x1b[31malle".encode(), "grüße\\n\\tan \\x1b[31malle"),
        (b"\xff\x00", "base64 /wA="),
    ],
)
def test_data_is_text_when_it_is_utf_8_and_base64_otherwise(body: bytes, shown: str) -> None:
    assert data_line({"data_base64": base64.b64encode(body).decode()}) == shown


def test_data_is_json_when_it_was_json_and_nothing_when_there_is_none() -> None:
    assert data_line({"data": {"a": ["ü\x1b"]}}) == '{"a":["ü\\u001b"]}'
    assert data_line({}) == ""


def test_other_messages_are_shown_when_one_has_numbers_that_python_has_no_room_for(capsys: pytest.CaptureFixture[str]) -> None:
    digits = "9" * 5_000
    read = read_json(f'{{"items":[{{"data":-{digits}}},{{"data":[1e400,-1e400]}},{{"data":{{"a":12,"b":2.5}}}}]}}')
    print_rows(read["items"], ["data"], Format.JSON)
    shown = [{"data": f"-{digits}"}, {"data": ["1e400", "-1e400"]}, {"data": {"a": 12, "b": 2.5}}]
    assert json.loads(capsys.readouterr().out) == shown
    print_rows(read["items"], ["data"])
    assert "Infinity" not in capsys.readouterr().out


def test_fault_is_told_once_when_it_is_the_whole_of_what_the_error_says(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(errors.NotProcessable("closed", rule="policy:night", faults=[errors.Fault("", "closed"), errors.Fault("/data", "no")]))
    assert capsys.readouterr().err == "switchboard: closed (rule policy:night)\n  /data: no\n"
