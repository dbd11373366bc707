"""One command for a GPU that is at hand for minutes: what works there, and how fast.

    python -m sglite.bench.gpu_suite --out DIR

Receives a machine · hands on figures, checks and a trace · does not know about servers or text.
The parts stand in ``part_table`` by value; each runs in a child process with a limit of time, and
what it found is on the disk after every line of it. Needs torch, numpy and safetensors; Triton and
transformers where they are installed.
"""
