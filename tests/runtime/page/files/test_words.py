"""Languages of the page: both that csflow has are whole, and a file of another is checked before anybody reads it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import csflow.runtime.page as package
from csflow.runtime.errors import ConfigError
from csflow.runtime.faults import FAULTS, Verdict
from csflow.runtime.page.files.words import LANGUAGES, OWN, Words

STATIC = Path(str(package.__file__)).parent / "static"
TEXTS = {name: json.loads((STATIC / "words" / f"{name}.json").read_text()) for name in LANGUAGES}
USED = {
    *re.findall(r'data-(?:t|label)="([^"]+)"', (STATIC / "page.html").read_text()),
    *(key for file in STATIC.glob("*.js") for key in re.findall(r'\bt\("([^"]+)"[,)]', file.read_text())),
}


def test_each_language_says_all_and_fills_in_the_same() -> None:
    english = TEXTS["en"]
    for texts in TEXTS.values():
        assert set(texts) == set(english)
        for key, text in texts.items():
            assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", english[key])), key


def test_nothing_is_said_that_has_no_words_and_no_word_is_never_said() -> None:
    named = {
        key for key in TEXTS["en"] if key.split(".")[0] in ("word", "fault", "camera", "mode", "language", "label")
    }
    assert set(TEXTS["en"]) >= USED
    assert set(TEXTS["en"]) - USED - named == {"output.ok", "output.failing"}
    assert {f"fault.{fault}" for fault in FAULTS} <= named
    assert {f"word.{verdict.name}" for verdict in Verdict} <= named


def test_people_at_the_line_are_not_told_of_thresholds() -> None:
    said = " ".join(text.lower() for texts in TEXTS.values() for text in texts.values())
    assert not re.search(r"threshold|schwelle", said)


def test_a_language_from_a_file_is_english_where_it_has_no_word(tmp_path: Path) -> None:
    path = tmp_path / "pl.json"
    path.write_text(json.dumps({"language": "Polski", "word.NOK": "ZŁY"}))
    words = Words(str(path))
    assert words.index() == {"default": OWN, "languages": {"en": "English", "de": "Deutsch", "own": "Polski"}}
    own = json.loads(words.of(OWN) or b"")
    assert (own["word.NOK"], own["word.LOST"]) == ("ZŁY", "CAMERA LOST")
    assert words.of("fr") is None
    assert Words("de").index()["default"] == "de"
    assert Words().index()["default"] == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not valid JSON"),
        ("[]", "is no language"),
        ('{"language": 1}', "is no language"),
        ('{"word.NOK": "x"}', "does not say its name"),
        ('{"language": "x", "word.MAYBE": "x"}', "word.MAYBE"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_no_language_is_told(text: str | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=why):
        Words(str(path))
