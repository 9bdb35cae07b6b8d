"""Who a client is, by its certificate alone: a folder of trusted ones, and a list of those that may command."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from csflow.runtime.atomic import write_atomic
from csflow.runtime.errors import ConfigError

__all__ = ["APPLICATION", "Trust", "own_certificate"]

APPLICATION = "urn:csflow:plc"
"""ApplicationUri of the server; its certificate carries it (OPC 10000-6, 6.2.2)."""
YEARS = 10
SUFFIXES = (".der", ".pem", ".crt", ".cer")

log = logging.getLogger("csflow.plc")


class Trust:
    """The certificates of a folder, read once."""

    def __init__(self, folder: Path, commanders: tuple[str, ...]) -> None:
        """Read them.

        Args:
            folder: DER or PEM files; it is made where it is missing.
            commanders: names of files in it whose clients may command.

        Raises ConfigError where a file is no certificate, or a commander has none.
        """
        folder.mkdir(parents=True, exist_ok=True)
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        self._names = {_der(path): path.name for path in files}
        if missing := sorted(set(commanders) - set(self._names.values())):
            raise ConfigError(f"opcua.commanders: {folder} holds no {', '.join(missing)}: put the certificate there")
        self._commanders = frozenset(commanders)

    def name(self, certificate: bytes | None) -> str:
        """Name of the file with this certificate (DER); empty for one that is not trusted, or whose time is over."""
        name = self._names.get(certificate or b"", "")
        return name if name and _in_time(certificate or b"") else ""

    def commands(self, name: str) -> bool:
        """Whether the client with the certificate in this file may command."""
        return name in self._commanders


def own_certificate(certificate: Path, key: Path, host: str) -> None:
    """Make a key and a self-signed certificate where neither is there. Raises ConfigError where only one is."""
    if certificate.exists() != key.exists():
        raise ConfigError(f"opcua: of {certificate} and {key} only one is there: bring the other, or remove it")
    if certificate.exists():
        return
    made, secret = _self_signed(host)
    write_atomic(key, secret, mode=0o600)
    write_atomic(certificate, made)
    log.info("opcua: a new certificate %s: clients must trust it", certificate)


def _der(path: Path) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    data = path.read_bytes()
    try:
        load = x509.load_pem_x509_certificate if b"-----BEGIN" in data else x509.load_der_x509_certificate
        return load(data).public_bytes(Encoding.DER)
    except ValueError as error:
        raise ConfigError(f"opcua.trusted: {path} is no certificate in DER or PEM ({error})") from None


def _in_time(certificate: bytes) -> bool:
    from cryptography import x509

    loaded = x509.load_der_x509_certificate(certificate)
    return loaded.not_valid_before_utc <= datetime.now(timezone.utc) <= loaded.not_valid_after_utc


def _self_signed(host: str) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "csflow plc")])
    now = datetime.now(timezone.utc)
    alternatives: list[Any] = [x509.UniformResourceIdentifier(APPLICATION)]
    with contextlib.suppress(ValueError):
        alternatives.append(x509.IPAddress(ipaddress.ip_address(host)))
    usage = x509.KeyUsage(True, True, True, True, False, True, False, False, False)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.DER), secret
