"""``python -m sglite`` is the command ``sglite``."""

from __future__ import annotations

import sys

from sglite.cli import main

sys.exit(main())
