"""The Functions app's settings that main.bicep sets for given parameters."""

from typing import Any

from azure_trigger.environment import NAMES
from daily_batch.settings import Settings, load_settings
from tests.support.deployment.bicep_files import FOLDER, read_bicep
from tests.support.deployment.bicep_values import Values

MAIN = read_bicep(FOLDER / "main.bicep")
# Parameters that only the operator knows.
GIVEN = {
    "dataAccountName": "makotodata",
    "dataContainer": "messages",
    "cosmosAccountName": "makoto-cosmos",
    "databricksHost": "https://adb-1.2.azuredatabricks.net",
}
STORAGE = "how the host and the triggers reach the host's account, by identity"
# App settings that neither the library nor the triggers read, with their readers.
OTHERS = {
    **{f"AzureWebJobsStorage__{each}ServiceUri": STORAGE for each in ("blob", "queue", "table")},
    "AzureWebJobsStorage__credential": STORAGE,
    "AzureWebJobsStorage__clientId": STORAGE,
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "where the host sends logs, and the functions metrics",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "as whom: by identity",
    "WEBSITE_CLOUD_ROLENAME": "the guide's cloud_RoleName, which the host sends with them",
    "AzureWebJobs.night.Disabled": "whether the host calls the timer",
    "AZURE_CLIENT_ID": "which identity azure-identity takes",
    "AZURE_TOKEN_CREDENTIALS": "that azure-identity looks for no other kind of identity",
}


def app_settings(**parameters: Any) -> dict[str, str]:
    properties = MAIN.of_kind("resource")["settings"].property("properties")
    found: dict[str, str] = Values(MAIN, **(GIVEN | parameters)).resolve(properties)
    return found


def load(environ: dict[str, str]) -> Settings:
    return load_settings(flags={}, environ={n: v for n, v in environ.items() if n not in OTHERS and n not in NAMES})
