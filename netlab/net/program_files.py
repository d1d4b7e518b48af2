"""The directory of a program that runs as a role: its files, its certificate, and room to write."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from netlab.errors import LabError
from netlab.model.launch import Launch
from netlab.model.placeholders import fill

_TLS = ".tls"  # no file of the spec can have this name


@contextmanager
def program_directory(launch: Launch, files: Mapping[str, str], keylog: str) -> Iterator[dict[str, str]]:
    """Make the directory, and give what the program's environment says of it; it is removed at the end.

    `files`: name ─► text, in which `{{NETLAB_DIR}}` and the like are replaced. `keylog`: the number of the
    descriptor of the key log, empty without one. Raises LabError where there is no room.
    """
    try:
        place = Path(tempfile.mkdtemp(prefix="netlab-"))
    except OSError as error:
        raise LabError(f"can't make a directory for the program: {error.strerror}") from error
    try:
        yield _filled(place, launch, files, keylog)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _filled(place: Path, launch: Launch, files: Mapping[str, str], keylog: str) -> dict[str, str]:
    own = {"NETLAB_DIR": str(place), "NETLAB_KEYLOG_FD": keylog}
    (place / _TLS).mkdir(mode=0o700)
    identity = launch.identity
    if identity is not None:
        own["NETLAB_CERT"] = _write(place / _TLS / "cert.pem", identity.chain_pem)
        own["NETLAB_KEY"] = _write(place / _TLS / "key.pem", identity.key_pem)
        own["NETLAB_PEM"] = _write(place / _TLS / "both.pem", identity.chain_pem + identity.key_pem)
    own["NETLAB_TRUST"] = _write(place / _TLS / "trust.pem", launch.trust_pem)
    for name, text in files.items():
        _write(place / name, fill(text, own.get))
    return own


def _write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return str(path)
