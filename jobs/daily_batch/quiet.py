"""Keeps libraries from saying themselves what an error of ours says once: their warnings hold traces and addresses."""

import logging
import warnings

# What they find wrong they raise, too. urllib3 tells of each retry, botocore and azure-identity of each source of
# credentials that has none, and Azure's and Databricks' clients of each request.
LIBRARIES = ("azure", "boto3", "botocore", "databricks", "deltalake", "msal", "obstore", "urllib3")


def quiet_libraries() -> None:
    """Let nothing of theirs through that is less than a failure which nobody hears of otherwise."""
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
