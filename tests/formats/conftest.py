from tests.formats.exporting import exported

__all__ = ["exported"]
