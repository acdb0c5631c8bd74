"""Shorten the trust store of the functions' processes, which a client of object_store reads whole when it is made."""

from pathlib import Path

import certifi

_END = "-----END CERTIFICATE-----\n"


def write_trust_store(folder: Path) -> dict[str, str]:
    """Write a store of one certificate and return the variable that names it; no emulator uses TLS."""
    file = folder / "trusted.pem"
    first, end, _ = Path(certifi.where()).read_text(encoding="utf-8").partition(_END)
    file.write_text(first + end, encoding="utf-8")
    return {"SSL_CERT_FILE": str(file)}
