"""Settings: defined once with type, default and description; read from files, the environment and flags."""

from daily_batch.settings.definition import GROUPS, Settings
from daily_batch.settings.load import load_settings
from daily_batch.settings.reference import help_text
from daily_batch.settings.storage_options import parse_connection_string

__all__ = ["GROUPS", "Settings", "help_text", "load_settings", "parse_connection_string"]
