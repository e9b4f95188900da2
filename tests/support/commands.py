"""The command line, run in this process."""

from typer.testing import CliRunner

from app.cli.main import app


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), env={"LANG": "C", "LC_ALL": "", "COLUMNS": "120"})
    return result.exit_code, result.stdout, result.stderr
