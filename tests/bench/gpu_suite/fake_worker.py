"""Stands for the process that runs parts: what each does is its name.

python fake_worker.py ORDER
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from sglite.bench.gpu_suite.results import Recorder

order = json.loads(sys.argv[1])
for part in order["parts"]:
    recorder = Recorder(Path(order["out"]), part)
    recorder.figure("reached", 1.0, "s")
    if part.startswith("hangs"):
        print("waiting for nothing", file=sys.stderr, flush=True)
        time.sleep(600)
    if part.startswith("fails"):
        raise RuntimeError("the device fell off")
    recorder.end()
