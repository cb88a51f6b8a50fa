"""YAML that is made to harm is refused in a sentence."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molrecon.errors import InputError
from molrecon.settings import Settings
from molrecon.settings_files import parse, read_yaml


def aliases(levels: int) -> str:
    """Nine references to nine references to …: a few hundred bytes of 9^levels values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for n in range(1, levels):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]")
    return "\n".join(lines)


def test_references_are_followed(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("a: &a {b: 1}\nc: *a\nd:\n  <<: *a\n  e: 2\n")
    assert read_yaml(file) == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}
    file.write_text("")
    assert read_yaml(file) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (aliases(9), "refers to its own parts so often"),
        ("a: &a [*a]", "refers to its own parts so often"),
        ("[" * 5000, "RecursionError"),
        ("9" * 6000, "ValueError"),
        ("2020-99-99", "ValueError"),
        ("? [1]\n: 2", "unhashable key"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: " + "b" * 2**20, "more than 1048576 bytes"),
    ],
)
def test_what_no_settings_have_is_refused(tmp_path, text, words):
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=words) as error:
        read_yaml(file)
    assert str(file) in str(error.value)


def test_an_unknown_setting_is_told_with_the_nearest_known_one(tmp_path):
    class Inner(Settings):
        learning_rate: float = 0.0

    class Outer(Settings):
        inner: Inner = Inner()
        steps: int = 1

    file = tmp_path / "a.yaml"
    for content, told in (
        ({"step": 2}, r"step: there is no such setting; the nearest is steps"),
        ({"inner": {"learningrate": 1}}, r"inner\.learningrate: .*; the nearest is learning_rate"),
        ({"zebra": 2}, r"zebra: there is no such setting; correct"),
    ):
        with pytest.raises(InputError, match=told):
            parse(Outer, content, file)
    assert parse(Outer, {"inner": {"learning_rate": 1}, "steps": 3}, file).inner.learning_rate == 1


@given(st.integers(-99, 99), st.integers(-30, 30), st.sampled_from(["e", "E"]))
def test_numbers_with_an_exponent_are_numbers(digits, exponent, letter):
    for sign in ("", "+")[: 1 + (exponent >= 0)]:
        text = f"{digits}{letter}{sign}{exponent}"
        with TemporaryDirectory() as folder:
            file = Path(folder) / "settings.yaml"
            file.write_text(f"{{lam: [{text}], name: 1e3a, version: 12}}")
            found = read_yaml(file)
        assert found == {"lam": [float(text)], "name": "1e3a", "version": 12}
        assert isinstance(found["lam"][0], float)
