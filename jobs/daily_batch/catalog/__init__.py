"""The tables as readers' engines know them: DDL from the contract, and registration in a catalog."""

from typing import Literal

Engine = Literal["athena", "synapse", "databricks"]
