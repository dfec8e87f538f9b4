"""Claims of the paper and of this book, each judged by a pure function of recorded runs and formulas."""

from __future__ import annotations

from types import MappingProxyType

from cleanprio_lib.claims import (
    beyond,
    derivative_angles,
    diminishing_dominance,
    early_stage,
    identities,
    in_practice,
    kernel_machines,
    overall,
    sample_gradients,
    single_logit,
    ten_classes,
    u_curve,
    width_and_noise,
)
from cleanprio_lib.claims.judging import VERDICTS, Claim, Judged, Measured, judge, verdict
from cleanprio_lib.claims.ledger import BOOK, PAGES, PAPER, Listed

MODULES = (
    u_curve,
    derivative_angles,
    sample_gradients,
    early_stage,
    diminishing_dominance,
    single_logit,
    ten_classes,
    width_and_noise,
    kernel_machines,
    beyond,
    in_practice,
    identities,
    overall,
)
CLAIMS: MappingProxyType[str, Claim] = MappingProxyType(
    {claim.id: claim for module in MODULES for claim in module.CLAIMS}
)

__all__ = [
    "BOOK",
    "CLAIMS",
    "PAGES",
    "PAPER",
    "VERDICTS",
    "Claim",
    "Judged",
    "Listed",
    "Measured",
    "judge",
    "verdict",
]
