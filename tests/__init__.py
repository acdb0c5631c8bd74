"""The suite: unit tests, integration tests, nights on local clouds, properties, and what they share."""
