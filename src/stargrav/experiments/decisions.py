"""What programme `distill` is to decide: stage criteria, hypotheses, questions, risks and trees.

All of it is data, in the forms of `experiments.rules`; `experiments.evidence` decides it from the
stored results. What programme `towers` is to decide stands in `experiments.tower_decisions`, what
`logg_1m` is in `experiments.directions`.

The findings, and so the names of all metrics, stand in the first part and nowhere else.
"""

from __future__ import annotations

from stargrav.experiments.rules import Finding, Leaf, Node, Proposition, Tree
from stargrav.experiments.shortcut_decisions import (
    COPY_UNUSED,
    ERROR_ALONE,
    LATENT_ADDS,
    OWN_ERROR_UNUSED,
    SHORTCUT,
    SHUFFLED_LABELS,
    WITHOUT_ERROR,
)
from stargrav.experiments.spec import at_least, at_most, more_than
from stargrav.experiments.tower_decisions import TOWER

# --- findings -----------------------------------------------------------------------------------

PROBE_RIDGE = Finding("linear_probe", at_least("r2[log_g,ridge,all]", 0.5))
PROBE_LIGHTGBM = Finding("linear_probe", at_least("r2[log_g,lightgbm,all]", 0.25))
BEST_READOUT = Finding("latent_extraction", at_least("r2[all,chosen]", 0.5))
EARLIER_LAYER = Finding(
    "latent_extraction",
    at_least("r2[enc_pre_latent,seg_mean_8] - r2[enc_last,seg_mean_8]", 0.0),
)
NONLINEAR = Finding("encoder_mlp")
FEW_DIMENSIONS = Finding("latent_dim")
NOISE_ROBUST = Finding("noise_robustness")
FINETUNED = Finding("finetune_encoder")
FINETUNING_GAINS = Finding("finetune_encoder", more_than("r2[finetuned] - r2[frozen]", 0.0))

COSINE = Finding(
    "student", at_least("max(cosine_standardised[mlp], cosine_standardised[conv])", 0.9)
)
SHARE_OF_TEACHER = Finding("student_probe", at_least("r2[student,ridge] / r2[teacher,ridge]", 0.9))
STUDENT_OVER_FLUX = Finding("student_probe", at_least("r2[student,ridge] - r2[flux,ridge]", 0.0))
ERROR_MISSING = Finding("student_plus")
JOINT_GAINS = Finding("student_joint", more_than("r2[chosen] - r2[0]", 0.0))
END_TO_END = Finding("student_vs_flux")
CHOSEN_OVER_FLUX = Finding("student_vs_flux", at_least("r2[chosen] - r2[flux_baseline]", 0.0))
TEACHER_ADDS = Finding("student_vs_flux", more_than("r2[chosen] - r2[labels]", 0.0))
LATENT_OVER_FLUX = Finding("latent_vs_flux", more_than("r2[latent] - r2[flux]", 0.0))
LAYERS_OVER_FLUX = Finding("latent_vs_flux", more_than("r2[all_layers] - r2[flux]", 0.0))
SAME_INPUT_OVER_FLUX = Finding("latent_vs_flux", more_than("r2[latent_no_error] - r2[flux]", 0.0))
UNBIASED = Finding("denoiser_bias")
DENOISED = Finding("student_vs_flux", at_least("r2[denoised] - r2[flux]", 0.0))
NOISE_SHIFT = Finding("noise_shift")
FEW_LABELS = Finding("sample_efficiency")

FINER_SEGMENTS = Finding(
    "latent_extraction",
    at_most("r2[enc_pre_latent,seg_mean_16] - r2[enc_pre_latent,seg_mean_8]", 0.05),
)
MORE_LAYERS = Finding(
    "latent_extraction", at_most("r2[all,chosen] - r2[enc_pre_latent,seg_mean_8]", 0.05)
)

TUNED_LIGHTGBM = Finding("tune_lgbm", at_most("r2[latent,best] - r2[latent,untuned]", 0.05))
TUNED_ON_FLUX = Finding("tune_lgbm", at_most("r2[flux,best] - r2[flux,untuned]", 0.05))
TUNED_MLP = Finding("tune_mlp", at_most("r2[best] - r2[untuned]", 0.05))

# --- stage criteria, hypotheses, questions, risks -----------------------------------------------

STAGES = (
    Proposition("Stage 1", "Ridge reads log g from the averaged deepest layer", (PROBE_RIDGE,)),
    Proposition("Stage 1b", "LightGBM reads log g from the same layer", (PROBE_LIGHTGBM,)),
    Proposition(
        "Stage 2",
        "A flux-only student meets the teacher's latent, and log g in it",
        (COSINE, SHARE_OF_TEACHER),
    ),
    Proposition("Stage 3", "The student is no worse than the best flux baseline", (END_TO_END,)),
    Proposition(
        "Stage 4",
        "What is read is log g: no leak through the error, nothing from permuted labels",
        (WITHOUT_ERROR, SHUFFLED_LABELS),
    ),
)
HYPOTHESES = (
    Proposition(
        "H1",
        "The latent is informative: from all its layers Ridge reads half of the variance of log g",
        (BEST_READOUT,),
    ),
    Proposition(
        "H2",
        "There is no shortcut: log g stays readable without the teacher's error input, and with "
        "errors as observed, and the latent tells of log g what these do not",
        (WITHOUT_ERROR, COPY_UNUSED, LATENT_ADDS),
    ),
    Proposition(
        "H3",
        "A student that sees flux alone can fit the latent, and keeps nine tenths of its log g",
        (COSINE, SHARE_OF_TEACHER),
    ),
    Proposition(
        "H4",
        "The denoiser is unbiased: lines keep their strengths, and log g read from denoised flux "
        "is no worse than from noisy flux",
        (UNBIASED, DENOISED),
    ),
    Proposition(
        "H5",
        "It is no bug: permuted labels give nothing, and a ridge reads no less from the student "
        "than from flux",
        (SHUFFLED_LABELS, STUDENT_OVER_FLUX),
    ),
    Proposition(
        "H6",
        "It is affordable: 32 numbers per star hold the latent's log g, and where labels are few "
        "the student gives more of it than flux does",
        (FEW_DIMENSIONS, FEW_LABELS),
    ),
)
QUESTIONS = (
    Proposition(
        "Q",
        "Is the denoiser's latent a better place to read log g from than the spectrum, also when "
        "the denoiser sees nothing else?",
        (LATENT_OVER_FLUX, LAYERS_OVER_FLUX, SAME_INPUT_OVER_FLUX),
    ),
    Proposition(
        "Q1", "Does the pre-latent layer hold more log g than the last?", (EARLIER_LAYER,)
    ),
    Proposition("Q2", "Is part of log g in the latent beyond a linear model?", (NONLINEAR,)),
    Proposition("Q3", "Is the encoder, trained for log g, at least as good?", (FINETUNED,)),
    Proposition("Q4", "Does the latent lose less to noise than flux does?", (NOISE_ROBUST,)),
    Proposition(
        "Q5",
        "Is it the missing error, not its size, that keeps a student from the latent?",
        (ERROR_MISSING,),
    ),
    Proposition(
        "Q6",
        "Does a network taught latent and log g read more than a ridge on a distilled latent?",
        (JOINT_GAINS,),
    ),
)
RISKS = (
    Proposition("R1", "The error array alone tells log g", (ERROR_ALONE,)),
    Proposition("R2", "The teacher's latent hangs on its error input", OWN_ERROR_UNUSED),
    Proposition(
        "R3",
        "The procedure itself makes a score: permuted labels give something",
        (SHUFFLED_LABELS,),
    ),
    Proposition(
        "R4", "Layer and pooling lose what others keep of log g", (FINER_SEGMENTS, MORE_LAYERS)
    ),
    Proposition("R5", "The student fails at other noise than it learnt from", (NOISE_SHIFT,)),
    Proposition(
        "R6",
        "What is compared is the tuning of heads",
        (TUNED_LIGHTGBM, TUNED_ON_FLUX, TUNED_MLP),
    ),
)

# --- the three trees ----------------------------------------------------------------------------

LATENT = Tree(
    "latent",
    "Is the latent worth distilling?",
    {
        "ridge": Node(
            "Stage 1: does Ridge read log g from the averaged deepest layer?",
            (PROBE_RIDGE,),
            passed="mlp",
            failed="lightgbm",
            unclear="lightgbm",
        ),
        "lightgbm": Node(
            "Stage 1b: does LightGBM read any of it there?",
            (PROBE_LIGHTGBM,),
            passed="readout",
            failed=Leaf(
                "The averaged layer holds too little: a longer trained teacher first",
                ("linear_probe --teacher.epochs 10",),
            ),
            unclear="readout",
        ),
        "readout": Node(
            "Does some layer and pooling reach Ridge R2 of .5?",
            (BEST_READOUT,),
            passed="mlp",
            failed=Leaf(
                "No read-out holds enough: a longer trained teacher first",
                ("latent_extraction --teacher.epochs 10",),
            ),
            unclear="mlp",
        ),
        "mlp": Node(
            "Does a small network read more than Ridge?",
            (NONLINEAR,),
            passed="flux",
            failed=Leaf("A linear head is enough: distil with Ridge", ("student_probe",)),
        ),
        "flux": Node(
            "Does it hold more log g than the spectrum that the denoiser saw?",
            (LATENT_OVER_FLUX, LAYERS_OVER_FLUX, SAME_INPUT_OVER_FLUX),
            passed="finetune",
            failed=Leaf(
                "Not for its log g alone: what it may still gain is few labels and other noise",
                ("sample_efficiency", "noise_robustness"),
            ),
            unclear="finetune",
        ),
        "finetune": Node(
            "Does training the encoder for log g gain?",
            (FINETUNING_GAINS,),
            passed=Leaf(
                "Worth distilling, and the frozen latent leaves something: a label loss beside",
                ("student", "student_joint"),
            ),
            failed=Leaf("Worth distilling as it is: the frozen latent", ("student",)),
            unclear=Leaf("Worth distilling as it is: the frozen latent", ("student",)),
        ),
    },
)

STUDENT = Tree(
    "student",
    "Can a flux-only student carry it, and does it beat flux?",
    {
        "cosine": Node(
            "Stage 2: does a student reach a cosine of .9 on valid stars?",
            (COSINE,),
            passed="share",
            failed="plus",
            unclear="share",
        ),
        "plus": Node(
            "Is it the missing error, not its size, that keeps it from it?",
            (ERROR_MISSING,),
            passed="share",
            failed=Leaf(
                "The student is too weak: a wider one, taught for longer, first",
                ("student --students.widths [1024,1024,512] --students.epochs 30",),
            ),
            unclear="share",
        ),
        "share": Node(
            "Stage 2: does it keep nine tenths of the teacher's log g?",
            (SHARE_OF_TEACHER,),
            passed="flux",
            failed="joint",
            unclear="joint",
        ),
        "joint": Node(
            "Does a label loss beside distillation gain log g?",
            (JOINT_GAINS,),
            passed="flux",
            failed=Leaf("Distillation loses log g that labels do not bring back: flux models"),
            unclear="flux",
        ),
        "flux": Node(
            "Stage 3: is it end to end no worse than the best flux baseline?",
            (END_TO_END,),
            passed="shift",
            failed="chosen",
        ),
        "chosen": Node(
            "Is the student of latent and log g, where it is the better one?",
            (CHOSEN_OVER_FLUX,),
            passed="labels",
            failed=Leaf("Flux itself is the better place: no student is needed"),
            unclear="labels",
        ),
        "labels": Node(
            "Does it read more than the same network, taught log g alone?",
            (TEACHER_ADDS,),
            passed="shift",
            failed=Leaf("The network, taught log g alone, does as well: no teacher is needed"),
            unclear=Leaf("The network, taught log g alone, does as well: no teacher is needed"),
        ),
        "shift": Node(
            "Does it stand other noise than it learnt from?",
            (NOISE_SHIFT,),
            passed=Leaf(
                "The student carries log g and beats flux: full size next",
                ("student_vs_flux --profile full",),
            ),
            failed=Leaf("It beats flux at its own noise alone: train at several noise levels"),
            unclear=Leaf(
                "The student is as good as flux here: full size next",
                ("student_vs_flux --profile full",),
            ),
        ),
    },
)

TREES = (LATENT, SHORTCUT, STUDENT, TOWER)
