"""Provenance: the source hash changes with the code and with nothing else; no host is named."""

import platform

from cleanprio_lib import provenance


def _with_source(tmp_path, monkeypatch, change):
    for module in provenance.SOURCES:
        text = (provenance.PACKAGE / f"{module}.py").read_text()
        (tmp_path / f"{module}.py").write_text(change(text))
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    return provenance.source_sha256()


def test_comments_docstrings_and_layout_do_not_count(tmp_path, monkeypatch):
    before = provenance.source_sha256()

    def cosmetic(text):
        return "# a comment\n" + text.replace("Args:", "Arguments:").replace("\n\n\n", "\n\n\n\n")

    assert _with_source(tmp_path, monkeypatch, cosmetic) == before


def test_code_counts(tmp_path, monkeypatch):
    before = provenance.source_sha256()
    assert (
        _with_source(tmp_path, monkeypatch, lambda text: text.replace("momentum=", "momentum=0+")) != before
    )


def test_the_device_is_words_without_a_host_name():
    words = provenance.describe_device("cpu")
    assert words.endswith("-core CPU")
    assert platform.node() not in words
