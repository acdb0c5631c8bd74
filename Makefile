# Everything a fresh machine needs, then the job, its tests or its benchmarks. `make help` lists the targets.

VENV := .venv
ENV_PYTHON := $(VENV)/bin/python
PIP_INSTALL := $(ENV_PYTHON) -m pip --disable-pip-version-check --quiet install -c constraints.txt
# The environment's own tools come first, and no other Spark or Python path leaks in.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
unexport SPARK_HOME PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON PYTHONPATH VIRTUAL_ENV

SPARK_40 := .cache/spark-4.0
JARS := .cache/delta/.fetched
LOCAL_CLOUDS := .cache/.local-clouds
# Tests wait a lot, so four processes use two cores; a file stays in one of them, and files keep their order.
PROCESSES := -n 4 --dist loadfile --no-loadscope-reorder

WITH_JAVA := JAVA_HOME="$$(tools/find-java)" && export JAVA_HOME
DATE ?= 2025-08-12
TENANTS ?= acme,globex
OUT ?= out
ENDURANCE_TENANTS ?= 200
ENDURANCE_DAYS ?= 30
ENDURANCE_SURGES ?= 8
ENDURANCE_REPORT ?= .makoto/endurance

.DEFAULT_GOAL := help
.PHONY: help setup run test test-long test-older-spark lint format bench endurance-test local-aws local-azure package-emr package-azure clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.made-run $(JARS)  ## the environment, Java and Delta's jars, and nothing else
	@$(WITH_JAVA) && echo "==> Java: $$JAVA_HOME"

run: setup  ## the samples' day on the local runner and as the Spark job, and how to query the tables
	@$(WITH_JAVA) && tools/run-samples $(OUT) $(TENANTS) $(DATE)

test: $(VENV)/.made-all $(JARS) $(LOCAL_CLOUDS)  ## the test suite, in four processes; PYTEST_ARGS="-n 0 -k name" for a part in one
	@echo "==> pytest"
	@$(WITH_JAVA) && $(ENV_PYTHON) -m pytest $(PROCESSES) -m "not long" --durations=20 $(PYTEST_ARGS)

test-long: $(VENV)/.made-all $(JARS) $(LOCAL_CLOUDS) test-older-spark  ## tests that take minutes: the older Spark, kill points on Spark, an endurance test; PYTEST_ARGS as above
	@echo "==> pytest, long tests"
	@$(WITH_JAVA) && $(ENV_PYTHON) -m pytest $(PROCESSES) -m long --durations=20 $(PYTEST_ARGS)

test-older-spark: $(VENV)/.made-all $(SPARK_40)/.made  ## the Spark tests on the older supported release; PYTEST_ARGS as above
	@echo "==> pytest, on Spark 4.0"
	@$(WITH_JAVA) && TESTED_SPARK_CONF=$(CURDIR)/$(SPARK_40)/local.conf $(SPARK_40)/bin/python -m pytest $(PROCESSES) -m each_spark $(PYTEST_ARGS)

lint: $(VENV)/.made-all  ## format, lint and types
	@echo "==> ruff"
	@ruff format --check . && ruff check .
	@echo "==> mypy --strict"
	@mypy

format: $(VENV)/.made-all  ## format with ruff, and fix what it can
	@ruff format . && ruff check --fix .

bench: $(VENV)/.made-all $(JARS)  ## the benchmarks and their baselines, about two hours on two cores; BENCH_ARGS="--quick" for a tenth
	@$(WITH_JAVA) && $(ENV_PYTHON) -m bench $(BENCH_ARGS)

endurance-test: $(VENV)/.made-all $(JARS) $(LOCAL_CLOUDS)  ## a month of 200 tenants with faults on each local cloud, hours; PYTEST_ARGS="-k aws" for one, ENDURANCE_TENANTS=24 for an eighth
	@mkdir -p $(ENDURANCE_REPORT)
	@$(WITH_JAVA) && ENDURANCE_TENANTS=$(ENDURANCE_TENANTS) ENDURANCE_DAYS=$(ENDURANCE_DAYS) ENDURANCE_SURGES=$(ENDURANCE_SURGES) ENDURANCE_REPORT=$(ENDURANCE_REPORT) \
		$(ENV_PYTHON) -m pytest -s tests/e2e/operations/test_endurance.py $(PYTEST_ARGS)

local-aws: $(VENV)/.made-all $(JARS)  ## a night on an AWS of this machine, from the schedule's event to tables; KEEP=1 leaves it up
	@$(WITH_JAVA) && PYTHONPATH=packaging $(ENV_PYTHON) -m tests.local_cloud.aws $(if $(KEEP),--keep)

local-azure: $(VENV)/.made-all $(JARS)  ## a night on an Azure of this machine, from the timer to tables; KEEP=1 leaves it up
	@$(WITH_JAVA) && $(ENV_PYTHON) -m tests.local_cloud.azure $(if $(KEEP),--keep)

package-emr: | $(ENV_PYTHON)  ## what EMR Serverless runs, into dist/emr; PACKAGE_ARGS="--arch x86_64", or --help for more
	@PYTHONPATH=packaging $(ENV_PYTHON) -m makoto_packaging.emr $(PACKAGE_ARGS)

package-azure: | $(ENV_PYTHON)  ## the folder that func azure functionapp publish publishes, into dist/azure
	@PYTHONPATH=packaging $(ENV_PYTHON) -m makoto_packaging.azure $(PACKAGE_ARGS)

clean:  ## remove the environment and everything that was built or fetched
	rm -rf $(VENV) .cache .aws-sam build dist $(OUT) spark-warehouse

$(ENV_PYTHON):
	@python="$$(tools/find-python)" && echo "==> virtual environment $(VENV), with $$python" && "$$python" -m venv $(VENV)

$(VENV)/.made-run: pyproject.toml constraints.txt | $(ENV_PYTHON)
	@echo "==> packages for running (pyspark is 400 MB: minutes the first time)"
	@$(PIP_INSTALL) -e '.[cli,report,spark]'
	@tools/repair-spark-home $(VENV)
	@touch $@

$(VENV)/.made-all: pyproject.toml constraints.txt $(VENV)/.made-run
	@echo "==> packages for tests and linters"
	@$(PIP_INSTALL) -e '.[cli,report,spark,test,lint]'
	@touch $@

# In one process, before any test: two processes that fetch the same jars for the first time disturb each other.
$(JARS): conf/spark/jars.conf conf/spark/ivysettings.xml | $(VENV)/.made-run
	@echo "==> Delta's jars"
	@rm -rf .cache/delta
	@$(WITH_JAVA) && tools/fetch-jars spark-submit conf/spark/jars.conf
	@touch $@

# What tests in several processes would download at the same time.
$(LOCAL_CLOUDS): tests/local_cloud/downloads.py | $(VENV)/.made-all
	@echo "==> servers of the local clouds (minutes the first time)"
	@$(WITH_JAVA) && $(ENV_PYTHON) -m tests.local_cloud.downloads
	@touch $@

# An environment of the older Spark alone, which sees the other one's packages behind its own; and the conf that goes with it.
$(SPARK_40)/.made: tests/spark-4.0.txt conf/spark/local.conf conf/spark/jars.conf tools/older-spark-conf | $(VENV)/.made-all
	@echo "==> Spark 4.0 in $(SPARK_40) (400 MB: minutes the first time)"
	@rm -rf $(SPARK_40) && $(ENV_PYTHON) -m venv $(SPARK_40)
	@$(SPARK_40)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps -r tests/spark-4.0.txt
	@$(SPARK_40)/bin/python tools/older-spark-conf $(SPARK_40) $(VENV)
	@tools/repair-spark-home $(SPARK_40)
	@$(WITH_JAVA) && tools/fetch-jars $(SPARK_40)/bin/spark-submit $(SPARK_40)/jars.conf
	@touch $@
