"""Keeps libraries from saying themselves what an error of ours says once: their warnings hold traces and addresses."""

import logging
import warnings

# What they find wrong they raise, too. urllib3 tells of each retry, botocore and azure-identity of each source of
# credentials that has none.
LIBRARIES = (
    *("azure.core", "azure.cosmos", "azure.identity", "boto3", "botocore", "databricks", "deltalake"),
    *("msal", "obstore", "urllib3"),
)


def quiet_libraries() -> None:
    """Let only what nobody else tells of through: the exporter of metrics raises nothing, so its warnings stay."""
    logging.getLogger("azure").setLevel(logging.WARNING)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
