"""The command line: thin, each command reads its arguments and calls one module.

A user's mistake (`InputError`) is one line on stderr and exit code 2.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from pathlib import Path

import click

from stargrav.abandoned import at_work
from stargrav.dvc_process import MISTAKE, StageError, end_with_caller, tell
from stargrav.errors import InputError, first_line

ALL_BITS = 2**64 - 1  # of a mask
FREE_KEYS = {"ignore_unknown_options": True, "allow_extra_args": True}
COMPONENTS = click.option(
    "--components",
    type=click.IntRange(1, 200),
    default=60,
    show_default=True,
    help="Principal components of a library that are kept.",
)
SEED = click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=42, show_default=True)
LINES = click.option(
    "--lines",
    type=click.Path(path_type=Path),
    help="Your VALD extract or Kurucz list; default: the project's own.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99})
@click.version_option(package_name="stargrav")
def cli() -> None:
    """Surface gravity of faint stars from PFS spectra, and the laboratory to check it in."""


@cli.command()
@click.argument("labels", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--resolution", type=float, help="Smooth to this R (FWHM); default: not smoothed.")
@click.option(
    "--wave",
    nargs=2,
    type=float,
    metavar="LO HI",
    help="Vacuum Angstrom; default: all, 7090-8860.",
)
@LINES
def synthesize(
    labels: Path,
    out: Path,
    resolution: float | None,
    wave: tuple[float, float] | None,
    lines: Path | None,
) -> None:
    """Rest-frame spectra of the stars in LABELS (CSV), by the synthesiser, as grid HDF5 in OUT.

    LABELS has the columns T_eff (K), log_g, M_H, a_M, C_M (dex). OUT holds `wave`, `flux` and
    `para` (M_H, T_eff, log_g, C_M, a_M).
    """
    from stargrav import libraries

    libraries.synthesize(labels, out, resolution, wave, lines)


@cli.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--nodes",
    type=click.Choice(["default", "quick"]),
    default="default",
    show_default=True,
    help="Grid of labels; `quick` is a coarse one for tries.",
)
@COMPONENTS
@LINES
@click.option("--processes", type=click.IntRange(1), default=None, help="Default: all cores.")
def library(
    out: Path, nodes: str, components: int, lines: Path | None, processes: int | None
) -> None:
    """Build the library of rest-frame spectra and write it to OUT; resumes if interrupted."""
    from stargrav import libraries

    libraries.library(out, nodes, components, lines, processes)


@cli.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--n", "count", type=click.IntRange(1, 10**9), required=True, help="Number of spectra."
)
@click.option("--mag", default="21.5", show_default=True, metavar="M or LO,HI", help="HSC i, AB.")
@click.option("--seeing", type=float, help="arcsec; default: uniform 0.5 to 1.5.")
@click.option("--zenith-angle", type=float, help="degrees; default: uniform 0 to 45.")
@click.option("--field-angle", type=float, help="degrees; default: uniform 0 to 0.65.")
@click.option(
    "--velocity",
    type=(float, float),
    default=(0.0, 0.0),
    show_default=True,
    metavar="LO HI",
    help="Radial velocities, km/s, uniform.",
)
@SEED
@click.option(
    "--error",
    type=click.Choice(["noiseless", "observed"]),
    default="noiseless",
    show_default=True,
    help="1-sigma errors: of the noiseless flux, or as estimated from a noisy one.",
)
@click.option("--source", default="data/library.h5", show_default=True)
def simulate(
    out: Path,
    count: int,
    mag: str,
    seeing: float | None,
    zenith_angle: float | None,
    field_angle: float | None,
    velocity: tuple[float, float],
    seed: int,
    error: str,
    source: str,
) -> None:
    """Spectra as PFS would see them, in pfsspec format: noiseless flux and its 1-sigma errors.

    Noise is added where spectra are read (`stargrav predict --add-noise`), as for the published
    data set. `pandas.read_hdf(OUT)` gives the parameter table.
    """
    from stargrav import commands

    conditions = {"seeing": seeing, "zenith_angle": zenith_angle, "field_angle": field_angle}
    commands.simulate(out, count, mag, conditions, velocity, seed, error, source)


@cli.command(name="import")
@click.argument("kind", type=click.Choice(["bosz", "grid", "pfsspec"]))
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@COMPONENTS
def import_(kind: str, path: Path, out: Path, components: int) -> None:
    """Check a library or a data set from outside and write it to OUT for use as `source`.

    bosz: a folder of model files as MAST serves them; grid: HDF5 with wave, flux, para;
    pfsspec: a ready-made data set.
    """
    from stargrav import libraries

    libraries.import_source(kind, path, out, components)


@cli.command(context_settings=FREE_KEYS)
@click.argument("name")
@click.pass_context
def stage(context: click.Context, name: str) -> None:
    """Make one stage of the pipeline, such as splits, dataset, train@teacher or latents@base.

    All of them stand in dvc.yaml. Settings of params.yaml are overridden by --key value, e.g.
    --profile quick --teacher.epochs 3 --source spectra.h5.
    """
    from stargrav import commands

    commands.stage(name, overrides(context.args))


@cli.command(context_settings=FREE_KEYS)
@click.argument("name")
@click.pass_context
def run(context: click.Context, name: str) -> None:
    """Run one experiment, after what it needs: `stargrav run encoder_mlp`.

    `stargrav experiments` lists them, `stargrav experiments NAME` shows the parameters of one.
    These, and the settings of params.yaml, are overridden by --key value, e.g. --profile quick
    --alpha 0.01 --source spectra.h5.
    """
    from stargrav import commands

    commands.run(name, overrides(context.args))


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="CSV to write; default: shown.")
@click.option(
    "--velocity",
    type=click.Choice(["file", "fit"]),
    default="file",
    show_default=True,
    help="Of the files' redshifts, 0 where they have none; or fitted to the spectra.",
)
@click.option(
    "--continuum",
    type=click.IntRange(0, 15),
    default=0,
    show_default=True,
    metavar="DEGREE",
    help="Of a polynomial that the flux may be off by; 0: its shape is exact.",
)
@click.option(
    "--resolution",
    type=click.FloatRange(100, 100_000),
    default=5000.0,
    show_default=True,
    help="Of the spectra, lambda / FWHM.",
)
@click.option(
    "--mask-bits",
    callback=lambda context, option, text: bits(text),
    metavar="BITS",
    help="Bits of a file's mask that make a pixel bad, as 0x1001 or 4097; 0: none. Default: any.",
)
@click.option("--add-noise", is_flag=True, help="For what `simulate` wrote, whose flux has none.")
@SEED
@click.option("--source", default="data/library.h5", show_default=True)
def predict(
    files: tuple[Path, ...],
    out: Path | None,
    velocity: str,
    continuum: int,
    resolution: float,
    mask_bits: int,
    add_noise: bool,
    seed: int,
    source: str,
) -> None:
    """T_eff, log g, M_H, a_M and C_M of measured spectra, each with its standard deviation.

    FILES are pfsspec HDF5, on any pixels within the library (7090 to 8860 A) that follow one
    another; others are left out. Their noise is taken to be independent from pixel to pixel. A
    parameter table is not needed; of one that is there the redshift is used. `--velocity fit`
    measures velocities within 300 km/s instead (columns `velocity`, `sd_velocity`), and labels
    allow for their errors. Where the flux calibration is not trusted, `--continuum 3` takes the
    shape of the flux for known up to a cubic, at the price of T_eff.

    Bad pixels are those of a mask in the file (dataset/arrays/mask/value: integers with a bit set,
    or false) and those with errors a hundred times the others' or more. Some pipelines set bits
    that say nothing bad; `--mask-bits` names those that do.

    The other columns: `chi2`, per degree of freedom; above 1 by more than chance (.02 for a
    spectrum) it says that the library does not describe a spectrum, that its errors are too small,
    or that its velocity is another. `misfit`: by how many standard deviations the reported
    labels fit worse than the library's components do: -0.5 to 0.9 for half of its own stars.
    `ess`: the effective sample size of the integral. `edges`: the labels that lean on an edge of
    the library, beyond which the star may lie.
    """
    from stargrav import predictions

    predictions.predict(
        files, out, velocity, continuum, resolution, mask_bits, add_noise, seed, source
    )


@cli.command()
@click.argument("name", required=False)
def experiments(name: str | None) -> None:
    """List all experiments with their claims, or show one with its criteria and parameters."""
    from stargrav import commands

    commands.experiments(name)


@cli.command(name="next")
def next_() -> None:
    """What the stored verdicts decide, on which evidence, and what to run next, and why.

    Reads the results as they lie in artifacts/experiments; runs nothing.
    """
    from stargrav import commands

    commands.next_steps()


@cli.command()
@click.argument("name")
def adopt(name: str) -> None:
    """Write the best settings that NAME has found (such as tune_mlp) into params.yaml."""
    from stargrav import commands

    commands.adopt(name)


JOBS = click.option(
    "--jobs",
    type=click.IntRange(1),
    help="Stages at a time, which share the cores. Default: as many as there are cores.",
)


@cli.command()
@click.argument("name")
@JOBS
def programme(name: str, jobs: int | None) -> None:
    """Run all experiments of programme NAME: distill, towers, logg_1m or diffusion.

    What they need is made before them, what has not changed is kept. Settings are those of
    params.yaml; each experiment is logged as `stargrav run` logs it.
    """
    from stargrav import commands

    commands.programme(name, jobs)


@cli.command()
@JOBS
@click.option("--stored", is_flag=True, help="Write the pages of what is stored; run nothing.")
def report(jobs: int | None, stored: bool) -> None:
    """Make all that has changed, and docs/results.md, docs/results.html and their figures.

    A whole run of all programmes takes hours in profile laptop. With --stored, the pages show the
    results as they lie in artifacts/experiments, and name those that are missing.
    """
    from stargrav import commands

    commands.report(jobs, stored)


def bits(text: str | None) -> int:
    """Bits of a mask as they are typed, all of them if nothing is.

    Raises:
        InputError: something that is no such number.
    """
    try:
        found = ALL_BITS if text is None else int(text, 0)
    except ValueError:
        found = -1
    if not 0 <= found <= ALL_BITS:
        raise InputError("command line", "--mask-bits", repr(text), "a number, as 0x1001 or 4097")
    return found


def overrides(arguments: list[str]) -> dict[str, str]:
    """`--key value` or `--key=value` pairs as a dictionary.

    Raises:
        InputError: something that is no such pair.
    """
    pairs: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        key = rest.pop(0)
        if not key.startswith("--"):
            raise InputError("command line", "argument", repr(key), "--key value")
        key, equals, value = key[2:].partition("=")
        if not equals:
            if not rest:
                raise InputError("command line", f"--{key}", "no value", "--key value")
            value = rest.pop(0)
        pairs[key] = value
    return pairs


def main() -> None:
    """Run the command line; exit code 2 for the user's mistakes and a
    system that refuses, 130 for an interruption."""
    # how many threads share a sum shows in its last bit, and so in every hash that rests on it:
    # one, and as many stages at a time as there are cores, unless the user says otherwise
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # threads that wait for each other do not spin: beside other work that halves the speed
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    gc.set_threshold(50_000, 100)  # imports are many objects and no garbage: a seventh less time
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is half-written is removed
    end_with_caller()
    try:
        with at_work(os.environ.get("MLFLOW_RUN_ID")):
            cli.main(standalone_mode=False)
    except InputError as error:
        fields = (error.where, error.field, str(error.found), error.expected)
        tell(MISTAKE, json.dumps(fields))
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except OSError as error:  # a full disk, no permission, a device that fails
        click.echo(f"error: {first_line(error)}", err=True)
        sys.exit(2)
    except StageError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        about = f" (see {context.command_path} --help)" if context else ""
        click.echo(f"error: {error.format_message()}{about}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; run again to go on from here", err=True)
        sys.exit(130)
