"""The pipeline: one module per stage of dvc.yaml, and the rooms they call."""

import sys

if any(word.startswith("stages.") for word in sys.orig_argv[1:4]):  # a stage, as a process of its own
    from stages import errors

    errors.guard()
