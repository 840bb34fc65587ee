"""Is what is read log g, or a shortcut: its findings, and the tree that decides.

A noiseless error array is a copy of the clean spectrum, beyond which nothing is left to be read.
So the tree asks what is lost with that copy, and what is left beyond errors as observed.
"""

from __future__ import annotations

from stargrav.experiments.rules import Finding, Leaf, Node, Tree
from stargrav.experiments.spec import at_least, at_most, more_than

ERROR_ALONE = Finding("error_only", at_most("r2[noiseless,ridge]", 0.1))
WITHOUT_ERROR = Finding(
    "teacher_no_error", at_most("r2[with_error,lightgbm] - r2[without_error,lightgbm]", 0.1)
)
COPY_UNUSED = Finding(
    "teacher_no_error", at_most("r2[with_error,lightgbm] - r2[observed_error,lightgbm]", 0.05)
)
OWN_ERROR_UNUSED = tuple(
    Finding("shuffled_error", at_most(f"r2[{kind},true] - r2[{kind},retrained]", 0.1))
    for kind in ("noiseless", "observed")
)
SHUFFLED_LABELS = Finding("label_shuffle")
FLUX_ADDS = Finding("flux_residual", more_than("r2[observed]", 0.1))
LATENT_ADDS = Finding("latent_residual", more_than("r2[observed,latent]", 0.1))
_GAIN = "r2[observed,latent] - r2[observed,flux]"
LATENT_ENHANCES = Finding("latent_residual", more_than(_GAIN, 0.0))
LATENT_KEEPS = tuple(
    Finding("latent_residual", criterion)
    for criterion in (
        at_least("r2[observed,latent] - 0.9 * r2[observed,flux]", 0.0),
        more_than("r2[observed,flux]", 0.0),
    )
)

_SHORTCUT = Leaf(
    "Shortcut: log g comes from the error array: go on with errors as observed",
    ("encoder_mlp --dataset.error observed",),
)
SHORTCUT = Tree(
    "shortcut",
    "Is the gain log g, or a shortcut?",
    {
        "shuffle": Node(
            "Do permuted labels give nothing?",
            (SHUFFLED_LABELS,),
            passed="error",
            failed=Leaf("A bug in the procedure: believe nothing until it is found"),
        ),
        "error": Node(
            "Does the error array alone tell nothing of log g?",
            (ERROR_ALONE,),
            passed="flux",
            failed="without",
            unclear="without",
        ),
        "without": Node(
            "Stage 4: is a teacher without error input as good?",
            (WITHOUT_ERROR,),
            passed="flux",
            failed="copy",
            unclear="copy",
        ),
        "copy": Node(
            "Is a teacher as good that is told errors as observed, which hold no clean copy?",
            (COPY_UNUSED,),
            passed="flux",
            failed=_SHORTCUT,
            unclear="shuffled",
        ),
        "shuffled": Node(
            "Does the latent tell nearly as much with another star's error?",
            OWN_ERROR_UNUSED,
            passed="flux",
            failed=_SHORTCUT,
            unclear="flux",
        ),
        "flux": Node(
            "Does flux tell of log g what the error as observed does not?",
            (FLUX_ADDS,),
            passed="enhanced",
            failed="adds",
            unclear="adds",
        ),
        "adds": Node(
            "Does the latent tell of log g what the error as observed does not?",
            (LATENT_ADDS,),
            passed=Leaf("Enhanced: log g that a ridge does not see in flux", ("student_probe",)),
            failed=_SHORTCUT,
            unclear="enhanced",
        ),
        "enhanced": Node(
            "Does the latent tell more of that than flux?",
            (LATENT_ENHANCES,),
            passed=Leaf(
                "Enhanced: beyond the error a ridge reads more from the latent than from flux",
                ("student_probe",),
            ),
            failed="kept",
            unclear="kept",
        ),
        "kept": Node(
            "Does the latent tell nine tenths of what flux does?",
            LATENT_KEEPS,
            passed=Leaf("Kept: the latent carries the log g of flux", ("student_probe",)),
            failed=Leaf(
                "Lost: pooling or denoising drops log g; finer segments next",
                ("latent_extraction",),
            ),
            unclear=Leaf("Kept, as far as these stars tell", ("student_probe",)),
        ),
    },
)
