"""`python -m netlab`."""

from __future__ import annotations

import sys

from netlab.cli import main

sys.exit(main())
