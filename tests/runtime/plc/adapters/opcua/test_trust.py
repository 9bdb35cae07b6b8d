"""Certificates: a folder of trusted ones, and one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="the extra opcua is not installed")

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from csflow.runtime.errors import ConfigError
from csflow.runtime.plc.adapters.opcua import trust
from csflow.runtime.plc.adapters.opcua.trust import APPLICATION, Trust, own_certificate


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> x509.Certificate:
    folder = tmp_path_factory.mktemp("own")
    own_certificate(folder / "own.der", folder / "own.pem", "127.0.0.1")
    assert (folder / "own.pem").stat().st_mode & 0o077 == 0
    return x509.load_der_x509_certificate((folder / "own.der").read_bytes())


def test_ones_own_certificate_names_the_application(certificate: x509.Certificate) -> None:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [APPLICATION]


def test_it_is_made_once_and_never_half(tmp_path: Path) -> None:
    own_certificate(tmp_path / "own.der", tmp_path / "own.pem", "plc.factory")
    before = (tmp_path / "own.der").read_bytes()
    own_certificate(tmp_path / "own.der", tmp_path / "own.pem", "plc.factory")
    assert (tmp_path / "own.der").read_bytes() == before
    (tmp_path / "own.pem").unlink()
    with pytest.raises(ConfigError, match="only one is there"):
        own_certificate(tmp_path / "own.der", tmp_path / "own.pem", "plc.factory")


@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
def test_a_certificate_is_known_by_its_file(tmp_path: Path, certificate: x509.Certificate, encoding: Encoding) -> None:
    (tmp_path / "plc.der").write_bytes(certificate.public_bytes(encoding))
    (tmp_path / "readme.txt").write_text("not looked at")
    found = Trust(tmp_path, ("plc.der",))
    der = certificate.public_bytes(Encoding.DER)
    assert found.name(der) == "plc.der"
    assert found.commands("plc.der")
    assert not found.commands("")
    assert found.name(None) == found.name(b"") == found.name(der[:-1]) == ""


def test_one_whose_time_is_over_is_not_trusted(
    tmp_path: Path, certificate: x509.Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plc.der").write_bytes(certificate.public_bytes(Encoding.DER))
    found = Trust(tmp_path, ())
    monkeypatch.setattr(trust, "_in_time", lambda _: False)
    assert found.name(certificate.public_bytes(Encoding.DER)) == ""


def test_a_file_that_is_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "plc.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=r"plc\.pem is no certificate"):
        Trust(tmp_path, ())


def test_a_commander_without_certificate(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no plc\.der"):
        Trust(tmp_path / "trusted", ("plc.der",))
    assert (tmp_path / "trusted").is_dir()
