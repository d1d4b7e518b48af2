"""`python -m netlab.roles`: a role by the process contract of docs/architecture.md."""

from __future__ import annotations

import os
import sys

from pydantic import ValidationError

from netlab.model.launch import Launch
from netlab.net.role_control import control_socket
from netlab.roles import run


def main() -> int:
    """Exit 2 where the descriptors or the launch document are wrong."""
    try:
        spec_fd, events_fd = int(os.environ["NETLAB_SPEC_FD"]), int(os.environ["NETLAB_EVENTS_FD"])
        with os.fdopen(spec_fd, "rb") as file:
            launch = Launch.model_validate_json(file.read())
        control = control_socket(os.environ)
    except (KeyError, ValueError, OSError, ValidationError) as error:
        sys.stderr.write(f"error: a descriptor of the process contract is wrong: {error!r}\n")
        return 2
    return run(launch, events_fd, control)


if __name__ == "__main__":
    sys.exit(main())
