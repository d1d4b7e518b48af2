"""What a program that runs as a role finds: its directory, its files, its certificate."""

from __future__ import annotations

import os
import ssl
import sys
from datetime import UTC, datetime
from pathlib import Path

from netlab.model.roles import CommandSpec
from netlab.pki import Authority
from tests.kit.role_process import roles

NOW = datetime.fromtimestamp(Path("/proc/self").stat().st_mtime, UTC)


def test_a_program_has_a_directory_with_its_files_and_it_goes_with_the_role(tmp_path: Path) -> None:
    script = "pwd; cat web.conf; echo x >scratch && ls; stat -c %a web.conf; echo $WORD"
    spec = CommandSpec(
        argv=("sh", "-c", script),
        env={"WORD": "in {{NETLAB_DIR}}"},
        files={"web.conf": "at {{NETLAB_DIR}}\n"},
    )
    with roles(tmp_path) as started:
        role = started.run("web", spec)
        assert role.wait() == 0, role.evidence()
        place, *rest = role.log().splitlines()
        assert rest == [f"at {place}", "scratch", "web.conf", "600", f"in {place}"], role.evidence()
        assert not Path(place).exists()


def test_a_program_gets_a_certificate_that_the_lab_trusts(tmp_path: Path) -> None:
    authority = Authority.create("test", NOW)
    program = (
        "import os, ssl; e = os.environ; c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); "
        "c.load_cert_chain(e['NETLAB_CERT'], e['NETLAB_KEY']); c.load_cert_chain(e['NETLAB_PEM']); "
        "print(open(e['NETLAB_CERT']).read()); print(e['NETLAB_TRUST'], open(e['NETLAB_TRUST']).read())"
    )
    spec = CommandSpec(argv=(sys.executable, "-c", program), names=("web.example",))
    with roles(tmp_path) as started:
        identity = authority.issue(("web.example",))
        role = started.run("web", spec, identity=identity, trust_pem=authority.root_pem)
        assert role.wait() == 0, role.evidence()
        assert identity.chain_pem in role.log(), role.evidence()
        assert authority.root_pem in role.log(), role.evidence()
    ssl.create_default_context(cadata=identity.chain_pem)


def test_a_program_that_is_stopped_late_is_killed_and_leaves_no_directory(tmp_path: Path) -> None:
    spec = CommandSpec(argv=("sh", "-c", "trap '' TERM; pwd; sleep 60"))
    with roles(tmp_path) as started:
        role = started.start("web", spec)
        assert role.stop() == 128 + 9, role.evidence()
        place = role.log().strip()
        assert place
        assert not os.path.exists(place)  # noqa: PTH110 - a text of the log
