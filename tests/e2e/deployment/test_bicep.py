"""infra/azure: the files pass the checks that need no compiler (bicep_check.py) and define what the guide describes."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from azure_trigger.environment import NAMES
from azure_trigger.function_app import app
from daily_batch.metadata import cosmos
from tests.local_cloud.azure.local_azure import lake_environment
from tests.support.deployment.bicep_check import find_problems
from tests.support.deployment.bicep_files import FOLDER, Declaration, read_bicep, show, walk
from tests.support.deployment.bicep_settings import GIVEN, MAIN, OTHERS, app_settings, load
from tests.support.deployment.bicep_values import Values

FILES = sorted(FOLDER.iterdir())
# Ignored or harmful on Flex Consumption, which has functionAppConfig instead and no time zones.
FORBIDDEN = re.compile(
    r"FUNCTIONS_(WORKER_RUNTIME(_VERSION)?|EXTENSION_VERSION)|WEBSITE_(RUN_FROM_PACKAGE|CONTENT\w*|TIME_ZONE|MAX_DYNAMIC\w*)"
    r"|SCM_DO_BUILD_DURING_DEPLOYMENT|ENABLE_ORYX_BUILD|TZ|AzureWebJobsStorage|AzureWebJobsDashboard"
)
SECRET = re.compile(r"AccountKey=|SharedAccess|listKeys|listSecrets|listAccountSas|MasterKey|[A-Za-z0-9+/]{42,}={1,2}")
# Azure's roles for everything: Owner, Contributor, User Access Administrator.
BROAD_ROLES = ("8e3afed0-", "b24988ac-", "18d7d88d-")
# Mistakes that the check must find: the file, the original text, and the wrong one.
MISTAKES = {
    "bracket": ("main.bicep", "properties: { reserved: true }", "properties: { reserved: true "),
    "name": ("main.bicep", "scope: hostAccount\n", "scope: hostAcount\n"),
    "function": ("main.bicep", "uniqueString(resourceGroup", "uniqeString(resourceGroup"),
    "property": ("main.bicep", "minimumTlsVersion:", "minimumTlsVersions:"),
    "value": ("main.bicep", "'UserAssignedIdentity'", "'UserIdentity'"),
    "type": ("main.bicep", "allowSharedKeyAccess: false", "allowSharedKeyAccess: 'false'"),
    "required": ("main.bicep", "    serverFarmId: plan.id\n", "    serverFarm: plan.id\n"),
    "version": ("main.bicep", "'Microsoft.Web/sites@2024-04-01'", "'Microsoft.Web/sites@2024-04-31'"),
    "no version": ("main.bicep", "'Microsoft.Web/sites@2024-04-01'", "'Microsoft.Web/sites'"),
    "unused": ("main.bicep", "maximumInstanceCount: maximumInstanceCount", "maximumInstanceCount: 40"),
    "twice": ("main.bicep", "var packageContainer", "var suffix"),
    "default": ("main.bicep", "param lookBack int = 3", "param lookBack int = 32"),
    "kind of default": ("main.bicep", "param createCosmos bool = false", "param createCosmos bool = 'no'"),
    "module's file": ("main.bicep", "'alarms.bicep'", "'alarm.bicep'"),
    "module's parameter": ("main.bicep", "    create: createCosmos\n", "    creates: createCosmos\n"),
    "module's output": ("main.bicep", "alarms.outputs.actionGroupId", "alarms.outputs.groupId"),
    "case": ("metadata.bicep", "type: 'Continuous'", "type: 'Continuously'"),
    "loop": ("vault-access.bicep", "guid(vault.id, name,", "guid(vault.id, title,"),
    "alarm": ("alarms.bicep", "aggregation: 'Count'", "aggregation: 'Counts'"),
    "alarm's threshold": ("alarms.bicep", "threshold: 1\n", "threshold: '1'\n"),
    "parameter file": ("dev.bicepparam", "param scheduleEnabled = false", "param scheduleEnable = false"),
    "its kind": ("dev.bicepparam", "param scheduleEnabled = false", "param scheduleEnabled = 'false'"),
    "its bounds": ("dev.bicepparam", "param logRetentionDays = 30", "param logRetentionDays = 3"),
    "not given": ("prod.bicepparam", "param dataContainer", "param dataPrefix"),
}


def find_resources(kind: str) -> list[Declaration]:
    return [each for path in FILES if path.suffix == ".bicep" for each in read_bicep(path).of_type(kind)]


def read_resource(path: str, name: str) -> Any:
    return read_bicep(FOLDER / path).of_kind("resource")[name].data


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_have_no_problem_that_the_check_finds(path: Path) -> None:
    assert find_problems(read_bicep(path)) == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_check_finds_each_mistake(mistake: str) -> None:
    file, original, wrong = MISTAKES[mistake]
    text = (FOLDER / file).read_text(encoding="utf-8")
    assert original in text
    assert find_problems(read_bicep(FOLDER / file, text.replace(original, wrong, 1)))


@pytest.mark.parametrize("name", ["alarms", "data-access", "metadata", "vault-access"])
def test_check_finds_any_misspelled_identifier(name: str) -> None:
    file = read_bicep(FOLDER / f"{name}.bicep")
    text = file.path.read_bytes()
    declared = {
        each.node.named_children[0].start_byte for each in file.declarations if each.kind in ("resource", "output")
    }
    used = [each for each in walk(file.root) if each.type == "identifier" and each.start_byte not in declared]
    misspelled = (text[: each.end_byte] + b"x" + text[each.end_byte :] for each in used)
    assert len(used) > 20
    assert [
        show(each)
        for each, wrong in zip(used, misspelled, strict=True)
        if not find_problems(read_bicep(file.path, wrong.decode()))
    ] == []


def test_every_app_setting_has_a_known_reader() -> None:
    environ = app_settings()
    read = set(load(environ).origins.values())
    assert set(environ) - read == set(OTHERS) | set(NAMES)
    assert not [name for name in environ if FORBIDDEN.fullmatch(name)]


def test_app_settings_follow_the_parameters() -> None:
    given = {"outputContainer": "tables", "dataPrefix": "raw/", "discovery": "metadata", "targetDateOffset": -2}
    settings = load(app_settings(**given))
    host = "makotodata.dfs.<environment().suffixes.storage>"
    assert (settings.input, settings.output) == (f"abfss://messages@{host}/raw/", f"abfss://tables@{host}/")
    assert (settings.tenants, settings.spark, settings.discovery) == (("*",), "databricks", "metadata")
    assert (settings.target_date_offset, settings.timezone, settings.function_memory_mb) == (-2, "Asia/Tokyo", 4096)
    assert settings.cosmos_endpoint == "https://makoto-cosmos.documents.azure.com:443/"
    assert (settings.databricks_host, settings.databricks_job) == (GIVEN["databricksHost"], "makoto-daily-messages")
    # Settings without a parameter keep the library's default.
    assert (settings.cosmos_key, dict(settings.storage_options)) == ("", {})


def test_app_settings_match_the_triggers_names() -> None:
    assert {name: app_settings()[name] for name in NAMES} == NAMES
    assert MAIN.of_kind("resource")["tasks"].data["name"] == {"<expression>": "taskQueue"}


def test_app_uses_only_its_managed_identity() -> None:
    environ, client_id = app_settings(), "identity.properties.clientId"
    assert client_id in str(environ["AZURE_CLIENT_ID"])
    assert environ["AZURE_CLIENT_ID"] == environ["MAKOTO_DATABRICKS_CLIENT_ID"]
    assert environ["AZURE_TOKEN_CREDENTIALS"] == "ManagedIdentityCredential"
    # The local cloud's app has the same setting.
    assert lake_environment("http://gateway")["AZURE_TOKEN_CREDENTIALS"] == environ["AZURE_TOKEN_CREDENTIALS"]


def test_app_submits_the_bundles_job_with_the_same_timeout() -> None:
    bundle = yaml.safe_load((FOLDER.parents[1] / "resources/daily_messages.job.yml").read_text(encoding="utf-8"))
    (job,) = bundle["resources"]["jobs"].values()
    settings = load(app_settings())
    assert (settings.databricks_job, settings.job_timeout_minutes * 60) == (job["name"], job["timeout_seconds"])


def test_secrets_come_only_from_a_key_vault() -> None:
    default = app_settings()
    entries = {
        "keyVaultName": "makoto-vault",
        "connectionStringEntry": "storage",
        "cosmosKeyEntry": "cosmos",
        "notifyUrlEntry": "webhook",
    }
    assert {name: value for name, value in app_settings(**entries).items() if name not in default} == {
        "AZURE_STORAGE_CONNECTION_STRING": "@Microsoft.KeyVault(VaultName=makoto-vault;SecretName=storage)",
        "COSMOS_KEY": "@Microsoft.KeyVault(VaultName=makoto-vault;SecretName=cosmos)",
        "MAKOTO_NOTIFY_URL": "@Microsoft.KeyVault(VaultName=makoto-vault;SecretName=webhook)",
    }
    for path in FILES:
        assert not SECRET.search(path.read_text(encoding="utf-8")), path.name
    assert SECRET.search("x: hostAccount.listKeys().keys[0].value")


def test_app_uses_the_largest_flex_consumption_instance() -> None:
    config = read_resource("main.bicep", "app")["properties"]["functionAppConfig"]
    values = Values(MAIN, **GIVEN)
    assert read_resource("main.bicep", "plan")["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert config["runtime"] == {"name": "python", "version": "3.12"}
    assert config["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"
    assert (values.find("instanceMemoryMB"), values.find("maximumInstanceCount")) == (4096, 40)


def test_public_access_and_key_access_are_disabled() -> None:
    account = read_resource("main.bicep", "hostAccount")["properties"]
    assert (account["minimumTlsVersion"], account["supportsHttpsTrafficOnly"]) == ("TLS1_2", True)
    assert (account["allowBlobPublicAccess"], account["allowSharedKeyAccess"]) == (False, False)
    assert read_resource("main.bicep", "packages")["properties"] == {"publicAccess": "None"}
    assert read_resource("main.bicep", "insights")["properties"]["DisableLocalAuth"] is True
    assert read_resource("main.bicep", "workspace")["properties"]["features"] == {"disableLocalAuth": True}
    site = read_resource("main.bicep", "app")["properties"]
    assert (site["httpsOnly"], site["siteConfig"]["minTlsVersion"]) == (True, "1.2")
    policies = find_resources("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {each.data["name"]: each.data["properties"]["allow"] for each in policies} == {"ftp": False, "scm": False}
    metadata = read_resource("metadata.bicep", "account")["properties"]
    assert (metadata["minimalTlsVersion"], metadata["disableLocalAuth"]) == ("Tls12", {"<expression>": "!allowKeys"})
    allowed = MAIN.of_kind("module")["metadataAccess"].property("params", "allowKeys")
    assert [Values(MAIN, cosmosKeyEntry=entry).resolve(allowed) for entry in ("", "cosmos")] == [False, True]


def test_cosmos_container_matches_the_ledgers_keys() -> None:
    file = read_bicep(FOLDER / "metadata.bicep")
    values = Values(file)
    assert (values.find("databaseName"), values.find("containerName")) == (cosmos.DATABASE, cosmos.CONTAINER)
    container = read_resource("metadata.bicep", "container")["properties"]["resource"]
    assert container["partitionKey"]["paths"] == ["/PK"]
    assert container["uniqueKeyPolicy"]["uniqueKeys"] == [{"paths": ["/SK"]}]
    conditional = [name for name, each in file.of_kind("resource").items() if b"if (create)" in (each.node.text or b"")]
    assert conditional == ["account", "database", "container"]


def test_role_assignments_are_scoped_and_explained() -> None:
    assignments = find_resources("Microsoft.Authorization/roleAssignments")
    assert {each.name for each in assignments} == {
        *("hostAccess", "telemetryAccess", "readMessages", "writeTables", "readEntry"),
    }
    reasons = {role["reason"] for role in Values(MAIN).find("hostRoles")}
    for each in assignments:
        properties = each.data["properties"]
        assert properties["principalType"] == "ServicePrincipal"
        assert each.data["scope"], each.name
        assert properties["description"] in ({"<expression>": "role.reason"},) or len(properties["description"]) > 20
    assert len(reasons) == 3
    scopes = {each.name: each.data["scope"]["<expression>"] for each in assignments}
    assert (scopes["readMessages"], scopes["writeTables"]) == ("messages", "tables")
    (ledger,) = find_resources("Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments")
    assert "/colls/${containerName}" in ledger.data["properties"]["scope"]["<expression>"]
    for path in FILES:
        assert not [role for role in BROAD_ROLES if role in path.read_text(encoding="utf-8")]


def test_every_role_assignment_is_explained() -> None:
    text = (FOLDER.parents[1] / "docs/project/permissions-azure.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+\.bicep)` `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    assert sorted((file, name, role) for file, name, role, _, _ in rows) == sorted(find_permissions())
    assert all(scope.strip() and len(why.strip()) > 10 for _, _, _, scope, why in rows)


def find_permissions() -> set[tuple[str, str, str]]:
    """Return file, resource and role of each assignment; the comment behind a role's id is its name."""
    found = set()
    for path in (each for each in FILES if each.suffix == ".bicep"):
        file, text = read_bicep(path), path.read_text(encoding="utf-8")
        names = dict(re.findall(r"'([0-9a-f]{8}-[0-9a-f-]{27})' // (.+)", text))
        assert set(names) == set(re.findall(r"'([0-9a-f]{8}-[0-9a-f-]{27})'", text)), path.name
        variables = {name: show(each.node) for name, each in file.of_kind("variable").items()}
        for each in file.of_kind("resource").values():
            if "RoleAssignments@" not in each.type and "roleAssignments@" not in each.type:
                continue
            identifiers = {show(node) for node in walk(each.node) if node.type == "identifier"}
            text_of_node = show(each.node) + "".join(variables[name] for name in identifiers & set(variables))
            found |= {(path.name, each.name, role) for id_, role in names.items() if id_ in text_of_node}
    return found


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("lake/acme/analytics/messages/_delta_log/00000000000000000000.json", True),
        ("lake/acme/analytics/_receipts/2025-08-12/1.json", True),
        ("lake/acme/chat/users/u1/rooms/analytics/messages/1.json", False),
        ("lake/acme/exports/messages/2025/08/12/analytics/part-0.jsonl", False),
        ("lake/acme/uploads/1.png", False),
        ("acme/analytics/messages/1.parquet", False),
    ],
)
def test_write_condition_allows_only_tables_below_analytics(path: str, allowed: bool) -> None:
    file = read_bicep(FOLDER / "data-access.bicep")
    condition = file.of_kind("resource")["writeTables"].property("properties", "condition")
    text = Values(file, narrowWrites=True, tablePrefix="lake/").resolve(condition)
    actions = re.findall(r"!\(ActionMatches\{'Microsoft\.Storage/[\w/]+/blobs/([\w/]+)'\}\)", text)
    assert actions == ["write", "add/action", "delete", "move/action"]
    rules = re.findall(r"blobs:path\] (StringLike|StringNotLike) '([^']+)'", text)
    assert len(rules) == 3 and "{" not in re.sub(r"ActionMatches\{'[^']+'\}", "", text)
    assert all(fnmatchcase(path, pattern) is (operator == "StringLike") for operator, pattern in rules) is allowed


def test_alarm_queries_name_existing_functions() -> None:
    alarms = {each["name"]: each for each in Values(read_bicep(FOLDER / "alarms.bicep")).find("alarms")}
    functions = {each.get_function_name() for each in app.get_functions()}
    queried = {name for each in alarms.values() for name in re.findall(r'operation_Name == "(\w+)"', each["query"])}
    assert queried == {"night", "watch"} and queried < functions
    (disabled,) = (name.split(".")[1] for name in OTHERS if name.endswith(".Disabled"))
    assert disabled in functions
    assert all('cloud_RoleName == "<namePrefix>"' in each["query"] for each in alarms.values())
    # https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-log-query: rules with union or search are refused.
    assert all(re.match(r"(requests|customMetrics) ", each["query"]) for each in alarms.values())


def test_alarms_notify_the_given_action_group_or_the_default() -> None:
    file = read_bicep(FOLDER / "alarms.bicep")
    assert Values(file, actionGroupId="/x/on-call").find("groupId") == "/x/on-call"
    assert Values(file, actionGroupId="").find("groupId") == "<group.id>"
    actions = file.of_kind("resource")["rules"].property("properties", "actions")
    assert Values(file, actionGroupId="/x/on-call").resolve(actions) == {"actionGroups": ["/x/on-call"]}


def test_dev_and_prod_share_nothing_and_need_values_to_deploy() -> None:
    dev, prod = (
        {name: each.data for name, each in read_bicep(FOLDER / f"{stage}.bicepparam").of_kind("variable").items()}
        for stage in ("dev", "prod")
    )
    prefix = Values(MAIN).find("namePrefix")
    assert (dev["namePrefix"], prod.get("namePrefix", prefix)) == (f"{prefix}-dev", prefix)
    assert (dev["scheduleEnabled"], prod.get("scheduleEnabled", True)) == (False, True)
    assert dev["cosmosAccountName"] != prod["cosmosAccountName"] and dev["createCosmos"]
    for stage in (dev, prod):
        # Without a default for a variable that is not set, the compiler refuses.
        assert all(re.fullmatch(r"readEnvironmentVariable\('\w+'\)", stage[name]["<expression>"]) for name in GIVEN)
