"""Tests of the exports: from merged rows and their sides to files, through the stage itself."""
