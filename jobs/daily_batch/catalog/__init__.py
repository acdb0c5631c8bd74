"""Make the tables known to query engines: DDL from the contract, and registration in a catalog."""

from typing import Literal

Engine = Literal["athena", "synapse", "databricks"]
