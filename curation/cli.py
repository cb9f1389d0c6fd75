"""The command `curate`: a verb a stage, `run` for all of them, `demo` for a look.

`curate VERB --config run.toml [--option value ...]`: options are made from the configuration's dataclasses. A stage is found
by its dotted path, so that nothing of it is imported before it runs.
"""

import json
import os
import re
import select
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curation import __version__, pipeline
from curation.canonical import as_record
from curation.config import RunConfig
from curation.errors import ConfigError, CurationError
from curation.report.tables import print_record
from curation.runfile import load

USER_ERROR = 2
INTERRUPTED = 130
UNREAD = 141  # as a shell has it for who writes to a pipe that is closed
EXTRA_VERBS = {
    "run": "all stages from one TOML file, skipping what is done",
    "demo": "the whole job on a small web that the project draws itself",
    "plan": "how many pairs a threshold keeps, and which threshold keeps so many, before anything runs",
    "why": "the life of one pair through every stage, with the numbers that decided",
    "diff": "what the selections of two runs share, and which entries gained and lost",
    "verify": "hash every file of a run again, and derive a sample of its decisions again",
}
# Verbs that are no stage, by the module whose `main(args, console)` they are.
MODULES = {
    "demo": "curation.demo.run", "plan": "curation.report.planning", "why": "curation.report.why",
    "diff": "curation.report.compare", "verify": "curation.report.verify",
}  # fmt: skip
SUB_VERBS = {"diff": "curation.report.difference", "show": "curation.report.lookup"}  # of `curate metadata`
DEDUP_PLAN = "curation.report.dedup_plan"  # `curate dedup plan`
# Verbs that run the stage before theirs too, which is skipped where it is done.
WITH = {"dedup": ("neighbours", "dedup")}
SELECT = "curation.spark.select"  # of `curate balance --manifest`: another selection of what is sealed
MORE_HELP = {
    "metadata": "'curate metadata' is short for 'curate metadata build'. "
    "'curate metadata show TEXT' finds an entry and says where it came from; "
    "'curate metadata diff A B' says what two lists differ in; each has its own --help.",
    "dedup": "--holdout NAME=DIR names an evaluation set, of pictures or of descriptors, and may stand again. "
    "'curate dedup plan' says what the search costs before it begins; it has its own --help.",
    "balance": "'curate balance --manifest FOLDER --out DIR' makes another selection of a sealed manifest, without a download; its "
    "options are others: 'curate balance --manifest FOLDER --help'.",
}


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every verb."""

    config: Path | None = None
    """The run's TOML file; options given here win over it."""
    dry_run: bool = False
    """Print the resolved configuration and stop."""
    json: bool = False
    """Print the record as JSON instead of a table."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of `curate run`."""

    until: str | None = None
    """Last stage to run; all of them where it is not set."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in {"-h", "--help", "help"}:
        _print_help()
        return 0
    if args[0] in {"-V", "--version"}:
        print(f"curate {__version__}")
        return 0
    return run_verb(args[0], args[1:])


def run_verb(verb: str, args: Sequence[str]) -> int:
    """Run one verb with its options, as the files in jobs/ do; return the exit status."""
    console = Console(stderr=False)
    try:
        with pipeline.stopped_sessions():
            return _dispatch(verb, list(args), console)
    except KeyboardInterrupt:
        _say_error("stopped; the same command goes on where it was")
        return INTERRUPTED
    except CurationError as error:
        _say_error(str(error))
        return USER_ERROR
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        return UNREAD
    except Exception as error:
        told = _told_by_a_task(error)
        if told is None:
            raise
        _say_error(told)
        return USER_ERROR


def _nobody_reads() -> bool:
    """Return whether who read the output has gone, as `| head` does; what is still to be written then goes nowhere."""
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)
    gone = bool(watch.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return gone


def _dispatch(verb: str, args: list[str], console: Console) -> int:
    other = SELECT if verb == "balance" and _names_manifest(args) else MODULES.get(verb)
    if verb == "dedup" and args[:1] == ["plan"]:
        other, args = DEDUP_PLAN, args[1:]
    if other:
        module: Any = import_module(other)
        return int(module.main(args, console))
    if verb == "run":
        return _run_all(args, console)
    if verb not in pipeline.STAGES:
        raise ConfigError(
            f"no verb is called {verb!r}; there are {', '.join([*pipeline.STAGES, *EXTRA_VERBS])}"
        )
    if verb == "metadata" and args and not args[0].startswith("-"):
        name, *args = args
        if name in SUB_VERBS:
            asked: Any = import_module(SUB_VERBS[name])
            return int(asked.main(args, console))
        if name != "build":
            raise ConfigError(
                f"curate metadata has no verb {name!r}; there are build, {', '.join(SUB_VERBS)}"
            )
    stages = WITH.get(verb, (verb,))
    sections = [section for name in stages if (section := pipeline.STAGES[name].section)]
    common, config, _ = parse(verb, args, sections=sections, flat=True)
    if common.dry_run:
        return _print_config(config)
    for name in stages:
        record = pipeline.run_one(config, name)
    if os.environ.get("RANK", "0") != "0":  # under torchrun the first process speaks for all
        return 0
    pipeline.write_summary(config)
    if common.json:
        print(json.dumps(record.data, ensure_ascii=False))
        return 0
    print_record(record, console)
    _print_next(verb, common, console)
    return 0


def _names_manifest(args: Sequence[str]) -> bool:
    return any(arg.partition("=")[0] == "--manifest" for arg in args)


def _run_all(args: list[str], console: Console) -> int:
    sections = [f.name for f in fields(RunConfig) if f.name not in {"run", "spark"}]
    common, config, options = parse("run", args, sections=sections, flat=False)
    pipeline.check_until(options.until)
    if common.dry_run:
        return _print_config(config)
    for record in pipeline.run_all(config, until=options.until):
        print_record(record, console)
    path = config.run.path / pipeline.SUMMARY
    if common.json:
        print(path.read_text(encoding="utf-8"), end="")
        return 0
    console.print(f"\nsummary: {escape(str(path))}", highlight=False, soft_wrap=True)
    page = config.run.path / "report" / "report.html"
    if page.is_file():
        console.print(f"report:  {escape(str(page))}", highlight=False, soft_wrap=True)
    return 0


def parse(
    verb: str, args: list[str], *, sections: Sequence[str], flat: bool
) -> tuple[Common, RunConfig, RunOptions]:
    """Parse a verb's options over the defaults of its `--config` file.

    sections: those whose options the verb takes, beside [run] and [spark]; flat: without the section's name before them.
    """
    given = _config_of(args)
    base = load(given) if given else RunConfig()
    if "dedup" in sections:
        args, named = _holdout_of(args)
        base = replace(base, dedup=replace(base.dedup, holdout=base.dedup.holdout | named))
    flatten = tyro.conf.arg(name="")
    members: list[tuple[str, Any, Any]] = [
        ("common", Annotated[Common, flatten], field(default=Common(config=given)))
    ]
    members.append(("run", Annotated[type(base.run), flatten], field(default=base.run)))
    if verb == "run":
        members.append(("options", Annotated[RunOptions, flatten], field(default=RunOptions())))
    for name in (*sections, "spark"):
        value = getattr(base, name)
        kind: Any = Annotated[type(value), flatten] if flat and name != "spark" else type(value)
        members.append((name, kind, field(default=value)))
    options: Any = make_dataclass("Options", members, frozen=True, kw_only=True)
    about = EXTRA_VERBS.get(verb) or pipeline.STAGES[verb].help
    description = " ".join([about[0].upper() + about[1:] + ".", *MORE_HELP.get(verb, "").splitlines()])
    found = tyro.cli(options, prog=f"curate {verb}", description=description, args=args)
    changed = {name: getattr(found, name) for name in ("run", "spark", *sections)}
    return found.common, replace(base, **changed), getattr(found, "options", RunOptions())


def _config_of(args: list[str]) -> Path | None:
    """Return the value of `--config`, which must be read before the other options are made."""
    for position, arg in enumerate(args):
        if arg == "--config" and position + 1 < len(args):
            return Path(args[position + 1])
        if arg.startswith("--config="):
            return Path(arg.partition("=")[2])
    return None


def _holdout_of(args: list[str]) -> tuple[list[str], dict[str, Path]]:
    """Return the arguments without `--holdout NAME=DIR`, however often it stands, and the sets by name. Raises ConfigError."""
    left: list[str] = []
    found: dict[str, Path] = {}
    rest = iter(args)
    for arg in rest:
        head, equals, value = arg.partition("=")
        if head not in {"--holdout", "--dedup.holdout"}:
            left.append(arg)
            continue
        name, separator, place = (value if equals else next(rest, "")).partition("=")
        if not (name and separator and place):
            raise ConfigError(
                f"{head} is {(name + separator + place)!r}: NAME=DIR, such as {head} coco=sets/coco"
            )
        if name in found:
            raise ConfigError(f"{head} names {name!r} twice")
        found[name] = Path(place)
    return left, found


def _print_config(config: RunConfig) -> int:
    shown = {f.name: as_record(getattr(config, f.name), with_runtime=True) for f in fields(RunConfig)}
    print(json.dumps(shown, indent=1, ensure_ascii=False))
    return 0


def _print_next(verb: str, common: Common, console: Console) -> None:
    names = list(pipeline.STAGES)
    position = names.index(verb) + 1
    if position < len(names):
        config = f" --config {common.config}" if common.config else ""
        console.print(
            f"[dim]next: curate {names[position]}{escape(config)}[/dim]", highlight=False, soft_wrap=True
        )


def _print_help() -> None:
    console = Console()
    console.print(
        "[bold]curate VERB --config run.toml[/bold] [dim]\\[--option value ...]; curate VERB --help[/dim]\n"
    )
    console.print(_verbs(EXTRA_VERBS))
    console.print("\n[dim]the stages, in their order:[/dim]")
    console.print(_verbs({name: stage.help for name, stage in pipeline.STAGES.items()}))


def _verbs(texts: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, text in texts.items():
        table.add_row(f"  [bold]{name}[/bold]", text)
    return table


def _say_error(text: str) -> None:
    Console(stderr=True).print(f"[red]error:[/red] {escape(text)}", highlight=False, soft_wrap=True)


def _told_by_a_task(error: BaseException) -> str | None:
    """Return the text of an error of ours that a Spark task raised and Spark wrapped."""
    found = re.findall(r"^curation\.errors\.\w+: (.+)$", str(error), re.MULTILINE)
    return str(found[-1]) if found else None


if __name__ == "__main__":
    sys.exit(main())
