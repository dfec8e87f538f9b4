"""Provenance: the source hash changes with the code and with nothing else; no host is named."""

import platform

import pytest

from cleanprio_lib import provenance


def _with_source(tmp_path, monkeypatch, change):
    for file in provenance.source_files():
        copy = tmp_path / file.relative_to(provenance.PACKAGE)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(change(file.read_text()))
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    return provenance.source_sha256()


def test_comments_docstrings_and_layout_do_not_count(tmp_path, monkeypatch):
    before = provenance.source_sha256()

    def cosmetic(text):
        return "# a comment\n" + text.replace("Args:", "Arguments:").replace("\n\n\n", "\n\n\n\n")

    assert _with_source(tmp_path, monkeypatch, cosmetic) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [("momentum=", "momentum=0+"), ("clamp(-1, 1)", "clamp(-2, 1)"), ("DECIMALS = 9", "DECIMALS = 8")],
)
def test_code_of_training_gradients_and_measurements_counts(tmp_path, monkeypatch, old, new):
    before = provenance.source_sha256()
    assert any(old in file.read_text() for file in provenance.source_files())
    assert _with_source(tmp_path, monkeypatch, lambda text: text.replace(old, new)) != before


def test_the_device_is_words_without_a_host_name():
    words = provenance.describe_device("cpu")
    assert words.endswith("-core CPU")
    assert platform.node() not in words
