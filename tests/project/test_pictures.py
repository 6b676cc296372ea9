"""Checks that the pictures in docs/ are the current output of benchmarks/pictures.py."""

import sys
from xml.etree import ElementTree

import pytest
from support import ROOT, TOKYO

sys.path.append(str(ROOT / "benchmarks"))

import pictures

TEXT = "{http://www.w3.org/2000/svg}text"


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return pictures.pictures()


def test_the_files_are_what_the_script_draws(drawn: dict[str, str]) -> None:
    for name, text in drawn.items():
        on_disk = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert on_disk == text, f"docs/{name} has drifted: run make pictures"


def test_a_picture_needs_no_other_file_and_no_address(drawn: dict[str, str]) -> None:
    for name, text in drawn.items():
        assert ElementTree.fromstring(text).find("{http://www.w3.org/2000/svg}title") is not None
        for named in ("href", "src", "@import", "@font-face"):
            assert named not in text, name
        assert "url(" not in text.replace("url(#", ""), name


@pytest.mark.parametrize("mode", pictures.MODES)
def test_before_is_the_envelope_and_after_is_the_line(drawn: dict[str, str], mode: str) -> None:
    envelope, line = pictures.sign_in()
    assert line == TOKYO
    assert line.replace('"', '\\"') in envelope
    shown = "".join(
        each.text or ""
        for each in ElementTree.fromstring(drawn[f"before-after-{mode}.svg"]).iter(TEXT)
    )
    size = pictures.ROWS * pictures.COLUMNS - 1
    for text in (envelope, line):
        assert f"{text[:size]}…" in shown


def test_light_and_dark_differ_in_colours_alone(drawn: dict[str, str]) -> None:
    for name in ("before-after", "demo"):
        light, dark = (drawn[f"{name}-{mode}.svg"] for mode in ("light", "dark"))
        assert light != dark
        for key, colour in pictures.MODES["light"].items():
            light = light.replace(colour, pictures.MODES["dark"][key])
        assert light == dark
