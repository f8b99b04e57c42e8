"""Duplicates: exact on folded text, then near; clusters, with the evidence for each removed row."""
