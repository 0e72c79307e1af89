"""The command line: `eqsat run|optimize|explain|why-not|rules`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

_EXAMPLES = """examples:
  eqsat run model.onnx --dim N=4            optimize, compile and time the model on random inputs
  eqsat run model.onnx --input x=x.npy      the same on your own inputs
  eqsat optimize model.onnx -o best.py      write the best program as TVMScript
  eqsat explain model.onnx                  step by step, which rule did what, and what it gains
  eqsat why-not relu_twice model.onnx       why a rule does not fire, place by place
  eqsat rules list                          the rewrite rules
  eqsat rules check my_rules.py             check your own rules

exit codes: 0 success, 1 error in the model, the input or a rule, 2 wrong usage, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        return _main(argv)
    except KeyboardInterrupt:
        print("eqsat: interrupted", file=sys.stderr)
        return 130


def _main(argv: Sequence[str] | None) -> int:
    from eqsat.shapes import EqsatError

    args = _parser().parse_args(argv)
    try:
        args.run(args)
        sys.stdout.flush()
    except EqsatError as error:
        return _fail(args, "\n".join([f"eqsat: {error}", *_notes(error)]))
    except BrokenPipeError:  # `eqsat rules list | head`: the reader has all it wants
        _drop_output()
        return 0
    except OSError as error:
        where = error.filename or "output"
        return _fail(args, f"eqsat: {where}: {error.strerror or error}")
    except MemoryError as error:
        return _fail(args, f"eqsat: out of memory: {error}; give smaller sizes with --dim")
    return 0


def _notes(error: BaseException) -> list[str]:
    return [f"  {note}" for note in getattr(error, "__notes__", [])]


def _fail(args: argparse.Namespace, message: str) -> int:
    print(message, file=sys.stderr)
    try:
        if getattr(args, "json", False):
            print(json.dumps({"error": message.removeprefix("eqsat: ")}))
        sys.stdout.flush()
    except OSError:  # the error may be that nothing can be written there
        _drop_output()
    return 1


def _drop_output() -> None:
    """Let the flush at exit go nowhere instead of failing once more."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _parser() -> argparse.ArgumentParser:
    from eqsat import __version__

    parser = argparse.ArgumentParser(
        prog="eqsat",
        description="Optimize and compile tensor programs by equality saturation.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"eqsat {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_optimize(commands)
    _add_explain(commands)
    _add_why_not(commands)
    _add_rules(commands)
    return parser


def _model_command(commands: Any, name: str, summary: str, run: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=summary, description=summary)
    _add_model_arguments(command)
    command.add_argument(
        "--sketches", action="append", default=[], metavar="FILE", type=Path,
        help="a Python file with sketches that guide the search, in order (repeatable)",
    )  # fmt: skip
    command.set_defaults(run=run)
    return command


def _add_model_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", type=Path, help="an .onnx file, or TVMScript in a .py file")
    command.add_argument(
        "--dim", action="append", default=[], metavar="NAME=SIZE", type=_dim,
        help="size of a symbolic dim (repeatable)",
    )  # fmt: skip
    command.add_argument(
        "--rules", action="append", default=[], metavar="FILE|SET", type=Path,
        help="a Python file with rule sets to use as well (repeatable)",
    )  # fmt: skip
    command.add_argument("--threads", type=_positive, default=None, help="threads of one call")
    command.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_run(commands: Any) -> None:
    command = _model_command(commands, "run", "Optimize, compile and time a model.", _run)
    command.add_argument(
        "--input", action="append", default=[], metavar="NAME=FILE.npy", type=_named_file,
        help="an input from a file; the others are random",
    )  # fmt: skip
    command.add_argument("--repeat", type=_positive, default=10, help="timed calls (default 10)")
    command.add_argument(
        "--save", type=Path, metavar="FILE.npz", help="write the outputs to a file"
    )
    command.add_argument("--no-optimize", action="store_true", help="compile the program as it is")
    command.add_argument("--profile", action="store_true", help="print the time of each kernel")


def _add_optimize(commands: Any) -> None:
    command = _model_command(
        commands, "optimize", "Write the best program as TVMScript.", _optimize
    )
    command.add_argument(
        "-o", "--output", type=Path, help="file to write (default: standard output)"
    )


def _add_explain(commands: Any) -> None:
    summary = "Tell step by step which rules made the best program, and what each is worth."
    command = _model_command(commands, "explain", summary, _explain)
    command.add_argument(
        "--steps", type=_count, default=40, metavar="N", help="steps to show (default 40)"
    )
    command.add_argument("--html", type=Path, metavar="FILE", help="write the chain as a page")
    command.add_argument(
        "--ablate", action="store_true", help="find a least set of rules that gives the program"
    )
    command.add_argument(
        "--replay",
        action="store_true",
        help="run every step by the reference interpreter; exit with 1 where numbers differ",
    )


def _add_why_not(commands: Any) -> None:
    summary = "Tell why a rule does not fire, or is not used, place by place."
    command = commands.add_parser("why-not", help=summary, description=summary)
    command.add_argument("rule", help="the name of a rule; `eqsat rules list` lists ours")
    _add_model_arguments(command)
    command.set_defaults(run=_why_not)


def _add_rules(commands: Any) -> None:
    group = commands.add_parser("rules", help="List or check rewrite rules.")
    actions = group.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, summary, run in (
        ("list", "List rules.", _rules_list),
        ("check", "Check rules on many small shapes.", _rules_check),
    ):
        command = actions.add_parser(name, help=summary, description=summary)
        command.add_argument(
            "files", nargs="*", type=Path, help="Python files with rule sets; none: ours"
        )
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        command.set_defaults(run=run)


def _dim(text: str) -> tuple[str, int]:
    name, _, size = text.partition("=")
    if not name or not size.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=SIZE, such as N=4")
    return name, int(size)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return int(text)


def _named_file(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE.npy")
    return name, Path(path)


def _load(path: Path) -> Any:
    import eqsat
    from eqsat.ir.script import parse_module
    from eqsat.shapes import EqsatError

    if path.suffix == ".py":
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise EqsatError(
                f"{path}: not UTF-8 text ({error.reason} at byte {error.start})"
            ) from None
        return parse_module(text, str(path))
    return eqsat.from_onnx(path)


def _optimized(args: argparse.Namespace) -> Any:
    import eqsat
    from eqsat._progress import shown_progress

    module = _load(args.model)
    rules = [*eqsat.default_rules(), *args.rules] if args.rules else None
    with shown_progress(f"optimizing {args.model.name}") as progress:
        return eqsat.optimize(
            module,
            rules=rules,
            sketches=args.sketches,
            dims=dict(args.dim),
            num_threads=args.threads,
            progress=progress,
        )


def _run(args: argparse.Namespace) -> None:
    import numpy as np

    import eqsat
    from eqsat._inputs import make_inputs
    from eqsat._progress import shown_progress

    result = None if args.no_optimize else _optimized(args)
    module = _load(args.model) if result is None else result.source
    inputs = make_inputs(module, dict(args.dim), dict(args.input))
    with shown_progress("compiling") as progress:
        executable = eqsat.compile(
            module if result is None else result, num_threads=args.threads, progress=progress
        )
    outputs: Any = executable(**inputs)
    arrays = cast("tuple[Any, ...]", outputs if isinstance(outputs, tuple) else (outputs,))
    times = _timed(executable, inputs, args.repeat)
    if args.save:
        _save(args.save, arrays)
    summary = {
        "outputs": [_summary(a) for a in arrays],
        "median_time_s": float(np.median(times)),
        "min_time_s": min(times),
        "calls": len(times),
        "report": None if result is None else result.report.as_dict(),
    }  # fmt: skip
    profile = executable.profile(*inputs.values()) if args.profile else None
    if args.json:
        if profile is not None:
            summary["kernels"] = [asdict(k) for k in profile.kernels]
        print(json.dumps(summary))
        return
    if result is not None:
        print(result.report.as_text())
    for i, a in enumerate(arrays):
        mean = _summary(a)["mean"]
        text = "no elements" if mean is None else f"mean {mean:.6g}"
        print(f"output {i}: {a.dtype}{list(a.shape)}, {text}")
    median_ms, best_ms = np.median(times) * 1e3, min(times) * 1e3
    print(f"median of {len(times)} calls: {median_ms:.3f} ms, best {best_ms:.3f} ms")
    if profile is not None:
        print(profile)


def _summary(array: Any) -> dict[str, Any]:
    mean = float(array.astype("float64").mean()) if array.size else None
    return {"shape": list(array.shape), "dtype": str(array.dtype), "mean": mean}


def _save(path: Path, arrays: Sequence[Any]) -> None:
    import numpy as np

    from eqsat._progress import atomic_write

    with atomic_write(path) as file:
        np.savez(file, **{f"output_{i}": a for i, a in enumerate(arrays)})


def _timed(executable: Any, inputs: dict[str, Any], repeat: int) -> list[float]:
    times: list[float] = []
    for _ in range(repeat):
        start = time.perf_counter()
        executable(**inputs)
        times.append(time.perf_counter() - start)
    return times


def _optimize(args: argparse.Namespace) -> None:
    from eqsat._progress import atomic_write

    result = _optimized(args)
    text = result.as_text()
    if args.output:
        with atomic_write(args.output) as file:
            file.write(text.encode())
    if args.json:
        print(json.dumps({"report": result.report.as_dict(), "output": str(args.output or "")}))
    elif args.output:
        print(result.report.as_text())
        print(f"written to {args.output}")
    else:
        print(text)


def _explain(args: argparse.Namespace) -> None:
    from dataclasses import asdict

    from eqsat._progress import atomic_write, shown_progress
    from eqsat.shapes import EqsatError

    result = _optimized(args)
    with shown_progress("explaining") as progress:
        explanation = result.explain(progress)
        shown = explanation.as_text(args.steps)
        ablation = explanation.ablation() if args.ablate else None
        replay = explanation.replay() if args.replay else None
        page = explanation.as_page() if args.html else ""
    if args.html:
        with atomic_write(args.html) as file:
            file.write(page.encode())
    if args.json:
        data = {"report": result.report.as_dict(), **explanation.as_dict()}
        data |= {"ablation": asdict(ablation)} if ablation else {}
        data |= {"replay": [asdict(e) for e in replay.errors]} if replay else {}
        print(json.dumps(data))
    else:
        print("\n\n".join(str(x) for x in (shown, ablation, replay) if x))
    if replay and replay.failures:
        raise EqsatError(f"{len(replay.failures)} steps of the chain changed the numbers")


def _why_not(args: argparse.Namespace) -> None:
    import eqsat

    rules = [*eqsat.default_rules(), *args.rules] if args.rules else None
    found = eqsat.why_not(
        args.rule, _load(args.model), rules=rules, dims=dict(args.dim), num_threads=args.threads
    )
    print(json.dumps(found.as_dict()) if args.json else found)


def _rule_sets(files: Sequence[Path]) -> list[Any]:
    import eqsat

    if not files:
        return list(eqsat.default_rules())
    return [s for f in files for s in eqsat.load_rules(f)]


def _rules_list(args: argparse.Namespace) -> None:
    rules = [(s, r) for s in _rule_sets(args.files) for r in s.rules]
    if args.json:
        print(
            json.dumps(
                [
                    {"set": s.name, "rule": r.name, "text": str(r), "source": r.source}
                    for s, r in rules
                ]
            )
        )
        return
    for s, r in rules:
        print(f"{s.name}.{r.name}: {r}")
    print(f"{len(rules)} rules")


def _rules_check(args: argparse.Namespace) -> None:
    from eqsat._progress import shown_progress
    from eqsat.rules import Rejection, RuleError
    from eqsat.rules._check import check_files, table

    with shown_progress("checking rules") as progress:
        checked = check_files(args.files, progress=progress)
    verdicts = [v for _, each in checked for v in each]
    rejected = [v for v in verdicts if isinstance(v, Rejection)]
    if args.json:
        certificates = [asdict(v) for v in verdicts if not isinstance(v, Rejection)]
        texts = [str(v) for v in rejected]
        print(
            json.dumps({"checked": len(verdicts), "rejected": texts, "certificates": certificates})
        )
    else:
        print(table(checked))
        print(f"{len(verdicts)} rules checked, {len(rejected)} rejected")
    if rejected:
        raise RuleError("\n".join(str(v) for v in rejected))


if __name__ == "__main__":
    sys.exit(main())
