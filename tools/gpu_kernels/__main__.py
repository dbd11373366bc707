"""``python -m tools.gpu_kernels``: see the package."""

import sys

from tools.gpu_kernels.page import main

sys.exit(main(sys.argv[1:]))
