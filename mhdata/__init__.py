"""Doors to the pipeline: command line, Python, HTTP."""
