"""Grading: a folder of submitted notebooks in, a table and every student's feedback out.

Students' code runs in processes of its own, apart from everything (`sandbox`, `host`, `keeper`, `worker`);
right answers stay in the grader's (`judging`).
"""

from __future__ import annotations

from cleanprio_lib.grading.grader import RESUME, Report, grade, in_short
from cleanprio_lib.grading.hosts import UnavailableError
from cleanprio_lib.grading.limits import Limits
from cleanprio_lib.grading.sandbox import IN_WORDS, KINDS

__all__ = ["IN_WORDS", "KINDS", "RESUME", "Limits", "Report", "UnavailableError", "grade", "in_short"]
