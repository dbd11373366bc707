"""``python -m sglite.launch_server`` is ``sglite serve``, as users of SGLang write it."""

from __future__ import annotations

import sys

from sglite.cli import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
