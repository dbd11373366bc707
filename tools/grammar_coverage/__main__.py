"""``python -m tools.grammar_coverage``: see the package."""

import sys

from tools.grammar_coverage.page import main

sys.exit(main())
