"""Which files a run learns from."""

from __future__ import annotations

from pathlib import Path

from bandweave.datasets.folders import find_pairs
from bandweave.errors import FileFormatError
from bandweave.train.config import (
    CaveSource,
    DataConfig,
    FolderSource,
    PatchSource,
    SceneSource,
    Source,
)


def data_files(data: DataConfig) -> list[Path]:
    """Return every file of a run's sources, sorted.

    Raises:
        FileFormatError: One does not exist, or a folder holds no pair.
    """
    root = Path(data.root)
    files = {path for source in (*data.training, *data.validation) for path in _of(source, root)}
    for path in sorted(files):
        if not path.is_file():
            raise FileFormatError(
                f"The data file {path} does not exist; give the folder that holds it with --data."
            )
    return sorted(files)


def _of(source: Source, root: Path) -> list[Path]:
    if isinstance(source, SceneSource):
        names = (source.spatial, source.spectral, source.gt)
        return [root / name for name in names if name is not None]
    if isinstance(source, FolderSource):
        return [path for pair in find_pairs(root / source.path) for path in (pair.pan, pair.ms)]
    if isinstance(source, PatchSource):
        return [root / source.path]
    if isinstance(source, CaveSource):
        folder = root / source.path
        for scene in source.scenes:
            if not (folder / f"{scene}_ms").is_dir():
                raise FileFormatError(
                    f"The CAVE scene {folder / scene}_ms does not exist; give the folder that "
                    "holds it with --data."
                )
        return [path for scene in source.scenes for path in (folder / f"{scene}_ms").rglob("*.png")]
    return []
