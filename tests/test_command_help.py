"""--help of every command says what it does, how it is typed and what comes out, in a terminal of any usual width."""

from __future__ import annotations

import re

import pytest

from hpedit.__main__ import COMMANDS, main

SUBCOMMANDS = {"calibrate": ("agreement", "import", "drift", "refine"), "rate": ("serve", "export")}
TYPED = [(name, *rest) for name in COMMANDS for rest in [(), *((s,) for s in SUBCOMMANDS.get(name, ()))]]


def helped(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("words", TYPED, ids=" ".join)
@pytest.mark.parametrize("columns", [80, 120])
def test_help_fits_the_terminal_and_has_an_example(
    words: tuple[str, ...],
    columns: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("COLUMNS", str(columns))
    said = helped(words, capsys)
    assert max(map(len, said.splitlines())) <= columns
    command = "python -m hpedit " + " ".join(words)
    assert said.startswith(f"usage: {command} ")
    ahead = said.partition("options:")[0]
    assert re.search(rf"^  {command} \S", ahead, re.MULTILINE), "an example, indented"
    assert "Args:" not in said


def test_a_subcommand_tells_more_than_its_first_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "120")
    said = helped(("calibrate", "refine"), capsys)
    assert "a page of Markdown with the figures" in " ".join(said.split())
    assert "(type: int, default: 5000)" in said
