"""The pipeline: one module per stage of dvc.yaml, and the rooms they call."""
