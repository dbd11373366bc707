"""Workloads and reports: what the engine costs, measured.

Receives an engine or its parts · hands on tables · does not know about serving.
"""
