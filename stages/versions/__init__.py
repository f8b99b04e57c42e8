"""Versions of the dataset: what differs between two of them, and rows that must leave all future ones."""
