"""``python -m sglite.bench.gpu_suite``."""

from sglite.bench.gpu_suite.command import main

if __name__ == "__main__":
    raise SystemExit(main())
