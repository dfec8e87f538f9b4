"""The paper's claims, each judged by a pure function of a recorded run."""

from __future__ import annotations

from types import MappingProxyType

from cleanprio_lib.claims import (
    derivative_angles,
    diminishing_dominance,
    early_stage,
    kernel_machines,
    sample_gradients,
    single_logit,
    ten_classes,
    u_curve,
)
from cleanprio_lib.claims.judging import VERDICTS, Claim, Judged, Measured, judge

CLAIMS: MappingProxyType[str, Claim] = MappingProxyType(
    {
        claim.id: claim
        for module in (
            u_curve,
            derivative_angles,
            sample_gradients,
            early_stage,
            diminishing_dominance,
            single_logit,
            ten_classes,
            kernel_machines,
        )
        for claim in module.CLAIMS
    }
)

__all__ = ["CLAIMS", "VERDICTS", "Claim", "Judged", "Measured", "judge"]
