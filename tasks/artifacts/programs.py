"""Programs of `torch.export` on disk, of the same bytes for the same program."""

import io
from pathlib import Path

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule

from tasks.artifacts.documents import save_bytes
from tasks.core.errors import ArtifactError


def save_program(program: ExportedProgram, path: Path) -> None:
    """Writes it without what tells where in whose checkout it was made, which the program itself
    loses too."""
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, GraphModule) else ():
            node.meta = {name: node.meta[name] for name in ("val",) if name in node.meta}
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    save_bytes(buffer.getvalue(), path)


def load_program(path: Path) -> ExportedProgram:
    """Raises ArtifactError for a file that is missing or holds no program."""
    try:
        return torch.export.load(path)
    except Exception as error:
        raise ArtifactError(f"{path}: is not a readable torch.export program: {error}") from error
