"""Run the daily messages job: the script for spark-submit and EMR Serverless."""

import sys
from pathlib import Path


def main() -> None:
    """Run the job; if its packages are missing, report whether they were built for another Python."""
    try:
        from daily_batch.entrypoints.daily_messages import app
        from daily_batch.entrypoints.jvm_stderr import redirect_stderr
    except ModuleNotFoundError:
        here = f"python3.{sys.version_info.minor}"
        made_for = sorted(each.parent.name for each in Path(sys.prefix, "lib").glob("python3.*/site-packages"))
        if not made_for or here in made_for:
            raise
        what = f"the image does not have the package's Python: it has {here}, and the package is for {made_for[0]}"
        step = "make the package for the release's Python, and set emr_python (docs/upgrading.md)"
        print(f"error: {what}. Next step: {step}.", file=sys.stderr)
        sys.exit(3)
    if "--run-id" not in sys.argv:  # the lines of a submitted job belong into its service's log, in one stream
        redirect_stderr()
    app()


if __name__ == "__main__":
    main()
