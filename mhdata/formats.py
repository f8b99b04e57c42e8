"""Which formats there are, and which of them params.yaml asks for."""

from __future__ import annotations

import os
import re

import yaml

from mhdata import graph
from mhdata.graph import Graph
from mhdata.workspace import Workspace
from stages import params
from stages.errors import ParamsError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def known(stages: Graph, name: str) -> str:
    """The name, if it is a format's. Raises ParamsError with the nearest one."""
    if name in stages.formats:
        return name
    raise ParamsError(f"there is no format {name!r}: {params.nearest(name, [*stages.formats, 'all'])}")


def selected(workspace: Workspace) -> list[str]:
    """The formats that params.yaml asks for."""
    wanted = params.load(path=workspace.path("params.yaml")).formats
    if "all" in wanted:
        return graph.load(workspace).formats
    return list(dict.fromkeys(wanted))


def select(workspace: Workspace, names: list[str]) -> None:
    """Add formats to `formats` in params.yaml; every other byte of the file stays. Raises ParamsError."""
    path = workspace.path("params.yaml")
    text = path.read_text(encoding="utf-8")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(added(text, [name for name in names if name not in selected(workspace)]), encoding="utf-8")
    params.load(path=part)
    part.replace(path)


def added(text: str, names: list[str]) -> str:
    """The text of params.yaml with names added to its list of formats.

    >>> added("formats: [openai]  # which\\nsplit: {}\\n", ["kto", "dpo"])
    'formats: [openai, kto, dpo]  # which\\nsplit: {}\\n'
    >>> added("formats:\\n  - openai  # chat\\nsplit: {}\\n", ["kto"])
    'formats:\\n  - openai  # chat\\n  - kto\\nsplit: {}\\n'
    """
    node = _node(text)
    if node.flow_style:
        end = node.end_mark.index - 1  # the closing bracket
        head = text[:end].rstrip()
        comma = "" if head.endswith(("[", ",")) else ", "
        return head + comma + ", ".join(names) + text[end:]
    last = node.value[-1]
    end = text.find("\n", last.end_mark.index)
    end = len(text) if end < 0 else end
    line = text.rfind("\n", 0, last.start_mark.index) + 1
    dash = re.match(r"\s*-\s*", text[line:])
    assert dash is not None
    return text[:end] + "".join(f"\n{dash[0]}{name}" for name in names) + text[end:]


def _node(text: str) -> yaml.SequenceNode:
    tree = yaml.compose(text, Loader=yaml.SafeLoader)  # marks of the C loader have no index
    if isinstance(tree, yaml.MappingNode):
        for key, value in tree.value:
            if key.value == "formats" and isinstance(value, yaml.SequenceNode):
                return value
    raise ParamsError("params.yaml has no list `formats`: add `formats: [openai]`")
