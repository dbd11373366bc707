"""The fixed workloads W0 to W7: what they ask, how they are timed, what the machine would allow.

Receives engines (in this process or as child processes) · hands on results, tables and pictures ·
does not know about servers.
"""
