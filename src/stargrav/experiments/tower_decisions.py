"""What programme `towers` is to decide: the open questions about towers, and which to go on with.

In the same form as those of programme `distill` (`experiments.decisions`). A tower has to beat the
plain network on whitened components of the same stars; one that does not is not worth having.
"""

from __future__ import annotations

from stargrav.experiments.rules import Finding, Leaf, Node, Proposition, Tree
from stargrav.experiments.spec import more_than

FUSION_GAINS = Finding(
    "two_tower", more_than("r2[1,chosen] - max(r2[1,global], r2[1,local])", 0.0)
)
LATENT_LIFTS = Finding("latent_tower")
SUMMARIES_ADD = Finding("summary_features")
F2_ADDS = Finding("summary_features", more_than("r2[1,global_F2] - r2[1,global]", 0.0))
F3_ADDS = Finding("summary_features", more_than("r2[1,global_F3] - r2[1,global]", 0.0))

GLOBAL_OVER_PLAIN = Finding("global_tower", more_than("r2[1,all] - r2[1,plain]", 0.0))
LOCAL_OVER_PLAIN = Finding("local_tower", more_than("r2[1,cnn_256] - r2[1,plain]", 0.0))
DILATED_OVER_PLAIN = Finding("dilated_cnn", more_than("r2[0.1,chosen] - r2[0.1,plain]", 0.0))
FUSED_OVER_PLAIN = Finding("two_tower", more_than("r2[1,chosen] - r2[1,plain]", 0.0))
LATENT_OVER_PLAIN = Finding("latent_tower", more_than("r2[both] - r2[plain]", 0.0))
GLOBAL_ON_AVERAGE = Finding("training_seeds", more_than("gain[tower]", 0.0))
FUSED_ON_AVERAGE = Finding("training_seeds", more_than("gain[fused]", 0.0))

TOWERS = (
    Proposition(
        "T1", "Do both towers fused read more log g at noise 1 than either?", (FUSION_GAINS,)
    ),
    Proposition(
        "T2",
        "Does the teacher's latent lift the global tower at noise 1, and above .50?",
        (LATENT_LIFTS,),
    ),
    Proposition("T3", "Do F2 and F3 together add log g to the global features?", (SUMMARIES_ADD,)),
    Proposition("T4", "Do mean, deviation and colour (F2) add any at noise 1?", (F2_ADDS,)),
    Proposition("T5", "Do strengths of named lines (F3) add any at noise 1?", (F3_ADDS,)),
    Proposition(
        "T6",
        "Does the global tower beat the plain network at noise 1, and so is worth having?",
        (GLOBAL_OVER_PLAIN,),
    ),
    Proposition("T7", "Does the local tower beat it?", (LOCAL_OVER_PLAIN,)),
    Proposition("T8", "Do both towers fused beat it?", (FUSED_OVER_PLAIN,)),
    Proposition("T9", "Does the global tower with the latent beat it?", (LATENT_OVER_PLAIN,)),
    Proposition("T10", "Do convolutions beat it at noise .1?", (DILATED_OVER_PLAIN,)),
    Proposition(
        "T11", "Does the global tower beat it on average over seeds?", (GLOBAL_ON_AVERAGE,)
    ),
    Proposition("T12", "Do both towers fused beat it on average over seeds?", (FUSED_ON_AVERAGE,)),
)

_PLAIN = ("flux_baselines --profile full",)

TOWER = Tree(
    "tower",
    "Is a tower worth having beside the plain network?",
    {
        "latent": Node(
            "Does the teacher's latent lift the global tower, and above .50?",
            (LATENT_LIFTS,),
            passed="latent_plain",
            failed="fusion",
            unclear="fusion",
        ),
        "latent_plain": Node(
            "Does the tower with the latent beat the plain network?",
            (LATENT_OVER_PLAIN,),
            passed=Leaf(
                "The tower with the latent is worth having: full size next",
                ("latent_tower --profile full",),
            ),
            failed="fusion",
            unclear="fusion",
        ),
        "fusion": Node(
            "Do both towers fused read more than either?",
            (FUSION_GAINS,),
            passed="fused_plain",
            failed="global_plain",
            unclear="global_plain",
        ),
        "fused_plain": Node(
            "Do both towers fused beat the plain network?",
            (FUSED_OVER_PLAIN,),
            passed=Leaf(
                "Both towers fused are worth having: full size next",
                ("two_tower --profile full",),
            ),
            failed="global_plain",
        ),
        "global_plain": Node(
            "Does the global tower beat the plain network?",
            (GLOBAL_OVER_PLAIN,),
            passed=Leaf(
                "The global tower is worth having: full size next",
                ("global_tower --profile full",),
            ),
            failed="summaries",
        ),
        "summaries": Node(
            "Do F2 and F3 add log g to the global features?",
            (SUMMARIES_ADD,),
            passed=Leaf(
                "No tower is shown to be worth having; F2 and F3 beside the plain network may be",
                _PLAIN,
            ),
            failed=Leaf("No tower is shown to be worth having: the plain network", _PLAIN),
            unclear=Leaf("No tower is shown to be worth having: the plain network", _PLAIN),
        ),
    },
)
