"""The command line as a newcomer types it, and what it leaves in a folder."""

from click.testing import CliRunner

from deepSTRF.cli.main import main


def run(*arguments, exit_code=None):
    """Run a command; an exception that is not a clean exit fails the test with its traceback."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert exit_code is None or result.exit_code == exit_code, result.output
    return result


def error_line(*arguments, words=()):
    """Return the one line that a command prints about a mistake; it exits with code 2 and says all `words`."""
    result = run(*arguments, exit_code=2)
    lines = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, result.output
    assert "Traceback" not in result.output
    assert [word for word in words if word not in lines[0]] == [], lines[0]
    return lines[0]


def tree(folder):
    """Everything below `folder`: path to content, None for folders."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }
