"""One engine on several devices: which rank does what, and how ranks exchange tensors.

Receives options · hands on a layout and groups of ranks · does not know about plans, requests or
processes (``sglite.ranks``). Imports torch alone, so that models and executors can use it.
"""
