"""The app settings of the Functions app that main.bicep sets for given parameters."""

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
STORAGE = "the host's storage account, which the host and the triggers access by identity"
# App settings that neither the library nor the triggers read, and their purpose.
OTHERS = {
    **{f"AzureWebJobsStorage__{each}ServiceUri": STORAGE for each in ("blob", "queue", "table")},
    "AzureWebJobsStorage__credential": STORAGE,
    "AzureWebJobsStorage__clientId": STORAGE,
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "where the host sends logs and the functions send metrics",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "that they authenticate by identity",
    "WEBSITE_CLOUD_ROLENAME": "the guide's cloud_RoleName, which the host adds to them",
    "AzureWebJobs.night.Disabled": "whether the host fires the timer",
    "AZURE_CLIENT_ID": "which identity azure-identity uses",
    "AZURE_TOKEN_CREDENTIALS": "that azure-identity tries no other kind of identity",
}


def app_settings(**parameters: Any) -> dict[str, str]:
    """Return the app settings for parameters beside GIVEN."""
    properties = MAIN.of_kind("resource")["settings"].property("properties")
    settings: dict[str, str] = Values(MAIN, **(GIVEN | parameters)).resolve(properties)
    return settings


def load(environ: dict[str, str]) -> Settings:
    """Load the library's settings from app settings."""
    return load_settings(flags={}, environ={n: v for n, v in environ.items() if n not in OTHERS and n not in NAMES})
