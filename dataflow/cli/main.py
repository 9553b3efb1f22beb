"""The command ``dataflow``: its groups of commands, and how errors end it.

Exit codes: 0 all is well; 1 something was found or went wrong; 2 the command was not written as it should be.
"""

from __future__ import annotations

from typing import Any, Final

import click
from pydantic import ValidationError

from dataflow.cli.results import results
from dataflow_results.errors import ResultsError, StoreUrlError

__all__ = ["main"]

PROBLEM: Final = 1
MISUSE: Final = 2


class OneLineErrors(click.Group):
    """A group whose commands say what went wrong in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            path = "dataflow" if error.ctx is None else error.ctx.command_path
            _leave(f"{error.format_message().rstrip('.')}; see `{path} --help`", MISUSE)
        except ResultsError as error:
            _leave(_one_line(error), MISUSE if isinstance(error, StoreUrlError) else PROBLEM)
        except ValidationError as error:
            first = error.errors()[0]
            _leave(f"the setting {'.'.join(map(str, first['loc']))}: {first['msg']}", MISUSE)


def _leave(message: str, code: int) -> None:
    click.echo(f"Error: {message}", err=True)
    raise SystemExit(code)


def _one_line(error: ResultsError) -> str:
    return " ".join(part.strip() for part in str(error).splitlines()).replace(" instead: ", "; instead: ")


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dask-dataflow", prog_name="dataflow")
def main() -> None:
    """Look after what flows leave behind."""


main.add_command(results)
