"""What each Triton kernel takes of a Hopper GPU, found out without one.

A file per family of kernels lists the variants that are compiled (``variants``): those of
Qwen3-0.6B and Qwen3-14B in bfloat16, the shapes that are measured. ``compiling`` compiles one,
``page`` makes the table of docs/gpu-kernels.md.

    python -m tools.gpu_kernels          rewrite the table; 1 where a kernel spills registers
    python -m tools.gpu_kernels --show   print it, and leave the page
"""
