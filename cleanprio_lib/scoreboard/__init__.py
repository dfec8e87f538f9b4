"""Every listed claim judged at once: as a table for people, and as files for machines."""

from cleanprio_lib.scoreboard.evidence import Row, judge_all, parted, said, totals
from cleanprio_lib.scoreboard.files import as_json, document, frame, in_full, in_short, publish, schema
from cleanprio_lib.scoreboard.showing import show, show_fields, show_files, show_reasons

__all__ = [
    "Row",
    "as_json",
    "document",
    "frame",
    "in_full",
    "in_short",
    "judge_all",
    "parted",
    "publish",
    "said",
    "schema",
    "show",
    "show_fields",
    "show_files",
    "show_reasons",
    "totals",
]
