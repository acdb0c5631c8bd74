"""Run a job's entry point with this environment's spark-submit, as EMR Serverless would.

Executors are separate processes and get the archives from Spark. Credentials come from an endpoint, as in a container,
so no key is in the environment. Only the driver gets the variables of `spark.emr-serverless.driverEnv`.
"""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore import exceptions as boto

from tests.local_cloud.aws.emr.job_runs import JobRun, JobStartError, Outcome
from tests.local_cloud.aws.emr.logs import upload_log
from tests.local_cloud.aws.emr.spark_site import link_spark, local_conf, site_conf, unpack, write_driver
from tests.local_cloud.aws.iam.authorizer import SECRET
from tests.local_cloud.common.downloads import find_java
from tests.local_cloud.common.processes import kill_child, start_child

_FAILED = (
    "Job failed, please check complete logs in configured logging destination. ExitCode: {}. Last few exceptions: {}"
)
_ERROR = re.compile(r"^.*\b\w+(?:Exception|Error)\b.*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class SparkSubmitProgram:
    """Run each job in its own folder below `folder`; `endpoint` is the address of all services."""

    folder: Path
    endpoint: str
    region: str
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, run: JobRun) -> None:
        """See `Program.start`."""
        work = self.work_folder(run)
        work.mkdir(parents=True)
        submit = run.request["jobDriver"]["sparkSubmit"]
        entry = self._fetch(run, submit["entryPoint"], work)
        for archive in filter(None, run.conf.get("spark.archives", "").split(",")):
            url, _, name = archive.partition("#")
            unpack(self._fetch(run, url, work / "fetched"), work / (name or url.rpartition("/")[2]))
        home = link_spark(work / "spark")
        (work / "site.conf").write_text(site_conf(home, endpoint=self.endpoint, region=self.region))
        command = [
            *(str(home / "bin/spark-submit"), "--properties-file", str(work / "site.conf")),
            *shlex.split(submit.get("sparkSubmitParameters", "")),
            *local_conf(run.conf, write_driver(work, run.conf)),
            *(str(entry), *submit.get("entryPointArguments", ())),
        ]
        environment = self._environment(run, home, work)
        self._processes[run.id] = start_child(command, folder=work, env=environment, log=work)

    def poll(self, run: JobRun) -> Outcome | None:
        """See `Program.poll`."""
        status = self._processes[run.id].poll()
        if status is None:
            return None
        if status == 0:
            return Outcome(state="SUCCESS")
        # spark-submit writes a Python driver's standard error to standard output.
        output = "\n".join((self.work_folder(run) / name).read_text(errors="replace") for name in ("stderr", "stdout"))
        exceptions = "; ".join(line.strip()[:100] for line in _ERROR.findall(output)[-2:])
        return Outcome(state="FAILED", details=_FAILED.format(status if status > 0 else 128 - status, exceptions))

    def kill(self, run: JobRun) -> None:
        """See `Program.kill`."""
        process = self._processes.pop(run.id, None)
        if process is not None:
            kill_child(process)

    def clean_up(self, run: JobRun) -> None:
        """See `Program.clean_up`."""
        work = self.work_folder(run)
        upload_log(run, self._client(run, "logs"), work)
        for name in ("environment", "fetched", "spark", "local"):
            shutil.rmtree(work / name, ignore_errors=True)

    def work_folder(self, run: JobRun) -> Path:
        """Return the folder of the run's attempt."""
        return self.folder / run.id / f"attempt-{run.attempt}"

    def _client(self, run: JobRun, service: str) -> Any:
        return boto3.Session(
            aws_access_key_id=run.session_key, aws_secret_access_key=SECRET, region_name=self.region
        ).client(service, endpoint_url=self.endpoint)

    def _fetch(self, run: JobRun, url: str, folder: Path) -> Path:
        bucket, _, key = url.removeprefix("s3://").partition("/")
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / key.rpartition("/")[2]
        try:
            body = self._client(run, "s3").get_object(Bucket=bucket, Key=key)["Body"]
        except boto.ClientError as error:
            raise JobStartError(f"Job failed. {url} cannot be read: {error.response['Error']['Code']}") from error
        with target.open("wb") as file:
            shutil.copyfileobj(body, file)
        return target

    def _environment(self, run: JobRun, home: Path, work: Path) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(work),
            "LANG": "C.UTF-8",
            "JAVA_HOME": str(Path(find_java()).parents[1]),
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(work / "local"),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.endpoint}/_local/credentials/{run.session_key}",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
