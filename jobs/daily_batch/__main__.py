"""Entry point of the installed command, and of `python -m daily_batch`."""

import sys

USAGE_ERROR = 2


def main() -> None:
    """Run the command line, or name the missing package: functions and jobs do not carry its packages."""
    try:
        from daily_batch.cli import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(
            f"error: the package {error.name} is missing. Next step: pip install 'makoto-daily-batch[cli]'.",
            file=sys.stderr,
        )
        sys.exit(USAGE_ERROR)
    app(prog_name="makoto-batch")


if __name__ == "__main__":
    main()
