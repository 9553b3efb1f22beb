"""The command ``dataflow``: its groups of commands, and how errors end it.

Exit codes: 0 all is well; 1 something was found or went wrong; 2 the command was not written as it should be.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final, cast

import click

from dataflow.errors import DataflowError
from dataflow_results.errors import ExplainedError, ResultsError, StoreUrlError

__all__ = ["main"]

PROBLEM: Final = 1
MISUSE: Final = 2
GROUPS: Final = {"results": "dataflow.cli.results", "runs": "dataflow.cli.runs"}
"""The module of each group of commands, which defines it under its name. Only that of the command is loaded: stores of
results, for one, take longer to load than a run takes to be shown."""


class Groups(click.Group):
    """Groups of commands, loaded when they are used; their commands say what went wrong in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the groups."""
        return sorted(GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A group by its name."""
        home = GROUPS.get(cmd_name)
        return None if home is None else cast("click.Command", getattr(importlib.import_module(home), cmd_name))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            path = "dataflow" if error.ctx is None else error.ctx.command_path
            _leave(f"{error.format_message().rstrip('.')}; see `{path} --help`", MISUSE)
        except (DataflowError, ResultsError) as error:
            _leave(_one_line(error), MISUSE if isinstance(error, StoreUrlError) else PROBLEM)
        except ValueError as error:
            if not _is_of_settings(error):
                raise
            first = error.errors()[0]  # type: ignore[attr-defined]
            _leave(f"the setting {'.'.join(map(str, first['loc']))}: {first['msg']}", MISUSE)


def _is_of_settings(error: ValueError) -> bool:
    """Whether a setting is wrong. What says so is loaded with the settings, which many commands do not need."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(error, pydantic.ValidationError)


def _leave(message: str, code: int) -> None:
    click.echo(f"Error: {message}", err=True)
    raise SystemExit(code)


def _one_line(error: ExplainedError) -> str:
    return " ".join(part.strip() for part in str(error).splitlines()).replace(" instead: ", "; instead: ")


@click.group(cls=Groups, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dask-dataflow", prog_name="dataflow")
def main() -> None:
    """Ask what became of runs, steer those that go on, and look after kept results."""
