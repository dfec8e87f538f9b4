"""The list of claims: every one of the paper in its order, and this book's own, with the chapter of each.

The list is kept apart from the claims so that one that is missing, or is there twice, is seen.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Listed:
    """A claim that must be judged.

    Attributes:
        id: of the claim.
        place: in the paper, or whose it is.
        page: of the chapter that shows its card.
        figure: anchor of the figure to look at on that page; empty where there is none.
        errata: numbers of the errata that bear on it.
    """

    id: str
    place: str
    page: str
    figure: str = ""
    errata: tuple[int, ...] = ()

    @property
    def chapter(self) -> int:
        """Number of the chapter."""
        return int(self.page[:2])


U_CURVE, ANGLES, GRADIENTS = "01-clean-priority", "02-derivative-angles", "03-sample-gradients"
EARLY, LATER, LOGITS = "04-early-stage", "05-diminishing-dominance", "06-single-logit-gradients"
MNIST, CIFAR, SWEEPS, KERNELS = "07-mnist", "08-cifar10", "09-width-and-noise", "10-kernel-machines"
BEYOND, PRACTICE = "11-beyond-the-paper", "11-label-noise-in-practice"

# Every claim has its card on one of these.
PAGES = (U_CURVE, ANGLES, GRADIENTS, EARLY, LATER, LOGITS, MNIST, CIFAR, SWEEPS, KERNELS, BEYOND, PRACTICE)

PAPER = (
    Listed("sec1-a", "Section 1", ANGLES),
    Listed("sec1-b", "Section 1", GRADIENTS, "sec-1-b", errata=(3,)),
    Listed("eq-4", "Equation 4", EARLY),
    Listed("eq-5", "Equation 5", GRADIENTS),
    Listed("thm-3.1-lin", "Theorem 3.1", ANGLES, "fig-2-recorded"),
    Listed("thm-3.1-relu", "Theorem 3.1", ANGLES, "fig-2-recorded", errata=(9,)),
    Listed("cor-3.2-1", "Corollary 3.2", ANGLES, "fig-2-recorded", errata=(22,)),
    Listed("cor-3.2-2", "Corollary 3.2", ANGLES, "fig-2-recorded", errata=(21,)),
    Listed("rem-3.3", "Remark 3.3", ANGLES, "rem-3-3"),
    Listed("lem-a.2", "Lemma A.2", ANGLES, errata=(17,)),
    Listed("fig-2", "Figure 2", ANGLES, "fig-2-recorded", errata=(21, 23)),
    Listed("fig-3-left", "Figure 3, left", ANGLES, "fig-3"),
    Listed("fig-3-right", "Figure 3, right", ANGLES, "fig-3"),
    Listed("sec3.2-clean", "Section 3.2", GRADIENTS, "fig-4-recorded"),
    Listed("sec3.2-noise", "Section 3.2", GRADIENTS, "fig-4-recorded", errata=(14,)),
    Listed("sec3.2-other", "Section 3.2", GRADIENTS, "fig-4-other-settings"),
    Listed("fig-4-left", "Figure 4, left", GRADIENTS, "fig-4-recorded"),
    Listed("fig-4-right", "Figure 4, right", GRADIENTS, "fig-4-recorded", errata=(12,)),
    Listed("eq-8", "Equation 8", GRADIENTS, "eq-8", errata=(3,)),
    Listed("eq-9", "Equation 9", GRADIENTS, "eq-8", errata=(3,)),
    Listed("ass-4.1", "Assumption 4.1", EARLY, "ass-4-1", errata=(3, 8)),
    Listed("eq-10", "Equation 10", EARLY, "eq-10", errata=(1,)),
    Listed("eq-11", "Equation 11", EARLY, errata=(15,)),
    Listed("prop-4.2", "Proposition 4.2", EARLY, "prop-4-2", errata=(1, 2)),
    Listed("rem-4.3", "Remark 4.3", EARLY, errata=(16,)),
    Listed("thm-4.4", "Theorem 4.4", EARLY, "thm-4-4", errata=(4,)),
    Listed("thm-4.4-acc", "below Theorem 4.4", EARLY, "thm-4-4", errata=(4,)),
    Listed("sec4.1-res", "Section 4.1", EARLY, "fig-5-recorded"),
    Listed("sec4.1-test", "Section 4.1", EARLY, "fig-5-recorded"),
    Listed("fig-5-left", "Figure 5, left", EARLY, "fig-5-recorded", errata=(13,)),
    Listed("fig-5-middle", "Figure 5, middle", EARLY, "fig-5-recorded", errata=(13,)),
    Listed("fig-5-right", "Figure 5, right", EARLY, "fig-5-recorded", errata=(13,)),
    Listed("fig-11-left", "Figure 11, left", EARLY, "fig-11-left", errata=(13,)),
    Listed("thm-4.5", "Theorem 4.5", LATER, "thm-4-5", errata=(5, 6, 7)),
    Listed("fig-6", "Figure 6", LATER, "fig-6", errata=(13,)),
    Listed("sec4.2-late", "Section 4.2", LATER, "later", errata=(8,)),
    Listed("sec4.2-clean", "Section 4.2", LATER, "later"),
    Listed("fig-12", "Figure 12", SWEEPS, "fig-12"),
    Listed("eq-13", "Equation 13", LOGITS),
    Listed("sec5-clean", "Section 5", LOGITS),
    Listed("eq-14", "Equation 14", LOGITS, "eq-14"),
    Listed("eq-14-ratio", "Below equation 14", LOGITS, "eq-14", errata=(11,)),
    Listed("fig-1", "Figure 1", U_CURVE, "fig-1-recorded"),
    Listed("fig-7-top", "Figure 7, top", MNIST, "fig-7-top"),
    Listed("fig-7-bot", "Figure 7, bottom", CIFAR, "fig-7-bot", errata=(25,)),
    Listed("fig-8-left", "Figure 8, left", MNIST, "fig-8-left"),
    Listed("fig-8-right", "Figure 8, right", CIFAR, "fig-8-right"),
    Listed("fig-9", "Figure 9", KERNELS, "fig-9"),
    Listed("fig-10", "Figure 10", LOGITS, "fig-10"),
    Listed("fig-11-middle", "Figure 11, middle", MNIST, "fig-11-middle"),
    Listed("fig-11-right", "Figure 11, right", CIFAR, "fig-11-right"),
    Listed("fig-13", "Figure 13", SWEEPS, "fig-13"),
    Listed("sec5-dyn", "Section 5", CIFAR, "fig-7-bot", errata=(24,)),
    Listed("sec6-second", "Section 6", BEYOND, "second-descent"),
    Listed("sec6-tempered", "Section 6", BEYOND, "tempered"),
    Listed("abstract-no-impact", "Abstract", EARLY, "prop-4-2", errata=(27,)),
)

BOOK = (
    Listed("eq-10-exact", "this book, in place of equation 10", EARLY, "eq-10"),
    Listed("prop-4.2-exact", "this book, in place of equation 12", EARLY, "eq-10"),
    Listed("smoothed-direction", "this book, in place of proposition 4.2", EARLY, "prop-4-2", errata=(2,)),
    Listed("fig-8-small-steps", "this book, figure 8, left, with smaller steps", MNIST, "small-steps"),
    Listed("ratio-by-level", "equation 14, at the levels of figure 13", SWEEPS, "by-level"),
    Listed("ratio-law", "this book", SWEEPS, "collapse-two-classes"),
    Listed("kernel-curve", "beyond the paper", KERNELS, "solved"),
    Listed("ntk-limit", "beyond the paper", KERNELS, "net-and-kernel"),
    Listed("beyond-departure", "beyond the paper", BEYOND),
    Listed("beyond-ball", "beyond the paper", BEYOND, "in-the-ball"),
    Listed("beyond-half-binary", "beyond the paper", BEYOND),
    Listed("beyond-half-ten", "beyond the paper", BEYOND),
    Listed("beyond-pair-flips", "beyond the paper", BEYOND),
    Listed("beyond-concentration", "beyond the paper", BEYOND, "concentration"),
    Listed("beyond-subclasses", "beyond the paper", BEYOND, "subclasses"),
    Listed("beyond-three-clocks", "beyond the paper", BEYOND, "three-clocks"),
    Listed("beyond-fitted", "beyond the paper", BEYOND, "tempered"),
    Listed("beyond-second-descent", "beyond the paper", BEYOND, "second-descent"),
    Listed("practice-affine", "this book's own, beyond the paper", PRACTICE),
    Listed("practice-validation", "this book's own, beyond the paper", PRACTICE, "regrets"),
    Listed("practice-label-free", "this book's own, beyond the paper", PRACTICE, "regrets"),
    Listed("practice-entropy", "this book's own, beyond the paper", PRACTICE, "regrets"),
    Listed("practice-pairs", "this book's own, beyond the paper", PRACTICE),
    Listed("practice-methods", "this book's own, beyond the paper", PRACTICE, "methods"),
    Listed("practice-wrong-labels", "this book's own, beyond the paper", PRACTICE, "suspects"),
)
