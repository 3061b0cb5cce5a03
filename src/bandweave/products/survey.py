"""Which products lie in a folder, or behind a metadata file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bandweave.errors import ProductError
from bandweave.products import airbus, gaofen, landsat, maxar, plain, sentinel2
from bandweave.products.bundle import Bundle, Finding, Problem, ProductImage
from bandweave.products.folder import files_below
from bandweave.products.pairing import pair_images
from bandweave.products.plain import NamingRule

# Who is asked in which order; files without metadata are the rest.
_VENDORS: tuple[Callable[[Sequence[Path]], Iterable[Finding]], ...] = (
    maxar.find_images,
    airbus.find_images,
    landsat.find_images,
    sentinel2.find_images,
    gaofen.find_images,
)
_METADATA = (".til", ".imd", ".xml", ".txt", ".json")


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found in a folder."""

    bundles: tuple[Bundle, ...]
    """Products that can be fused; their names differ."""
    problems: tuple[Problem, ...]
    """Images that were recognised and cannot be fused."""


def survey(
    folder: Path,
    *,
    rule: NamingRule | None = None,
    depth: int | None = None,
    skip: Sequence[Path] = (),
) -> Survey:
    """Find the products below a folder.

    Args:
        folder: Where to look.
        rule: How names tell PAN and MS apart; then nothing else is looked at.
        depth: Folders to go down; None for all.
        skip: Folders to leave out.

    Raises:
        ProductError: There is no such folder.
    """
    files = files_below(folder, depth=depth, skip=skip)
    findings: list[Finding] = []
    if rule is None:
        for find_images in _VENDORS:
            findings += find_images(files)
    known = {path for finding in findings for path in _files(finding)}
    findings += plain.find_images([path for path in files if path not in known], rule)
    images = [finding for finding in findings if isinstance(finding, ProductImage)]
    bundles, problems = pair_images(images)
    problems = [finding for finding in findings if isinstance(finding, Problem)] + problems
    named = _with_distinct_names(sorted(bundles, key=lambda bundle: bundle.name), folder)
    return Survey(tuple(named), tuple(sorted(problems, key=lambda problem: str(problem.source))))


def find_bundle(path: Path) -> Bundle:
    """Return the one product in a folder, or the one that a metadata file belongs to.

    Raises:
        ProductError: There is none, or more than one; the message says what was found.
    """
    if path.is_dir():
        found = survey(path)
        return _only(path, found.bundles, found.problems)
    if not path.is_file():
        raise ProductError(f"A product is needed, but there is no file or folder {path}.")
    # SAFE folders go deep below their metadata; PAN and MS of others lie in folders side by side.
    problems: tuple[Problem, ...] = ()
    own_folder = path.resolve().parent
    for folder, depth in ((own_folder, 5), (own_folder.parent, 2)):
        found = survey(folder, depth=depth)
        own = [bundle for bundle in found.bundles if _belongs(path, bundle)]
        if own:
            return _only(path, own, ())
        problems = tuple(p for p in found.problems if p.source.resolve() == path.resolve())
    return _only(path, (), problems)


def is_product(path: Path) -> bool:
    """Tell whether a path may stand for a product: a folder, or a vendor's metadata file."""
    return path.is_dir() or path.suffix.lower() in _METADATA


def describe_pair(spatial: Path, spectral: Path) -> Bundle | None:
    """Return what the metadata say of two images given as `.TIL` or `DIM_*.XML`.

    Returns:
        None where neither is such a file: rasters speak for themselves.

    Raises:
        ProductError: The metadata are incomplete, or the two images are swapped.
    """
    images = []
    for path in (spatial, spectral):
        is_til = path.suffix.lower() == ".til"
        if not path.is_file() or not (is_til or airbus.is_dimap(path)):
            return None
        images.append(maxar.read_tiles(path) if is_til else airbus.read_dimap(path))
    pan, ms = images
    if (pan.role, ms.role) != ("spatial", "spectral"):
        raise ProductError(
            f"The spatial image comes first and the spectral one second, but {spatial.name} is the "
            f"{pan.role} image by its metadata and {spectral.name} the {ms.role} one."
        )
    return Bundle(pan, ms)


def _only(path: Path, bundles: Sequence[Bundle], problems: Sequence[Problem]) -> Bundle:
    if len(bundles) == 1:
        return bundles[0]
    if bundles:
        names = ", ".join(bundle.name for bundle in bundles[:4])
        raise ProductError(
            f"{path} holds {len(bundles)} products ({names}{', ...' if len(bundles) > 4 else ''}); "
            "name the folder of one, or fuse them all with `bandweave batch`."
        )
    if problems:
        raise ProductError(problems[0].sentence)
    raise ProductError(
        f"No product was recognised in {path}: known are Maxar (.TIL, .IMD, ARD), Airbus "
        "(DIM_*.XML), Landsat (*_MTL.txt), Sentinel-2, GaoFen, and PAN and MS files by their "
        "names; give PAN, MS and the output."
    )


def _belongs(path: Path, bundle: Bundle) -> bool:
    stems = {(file.resolve().parent, file.stem) for file in bundle.files}
    return (path.resolve().parent, path.stem) in stems


def _files(finding: Finding) -> tuple[Path, ...]:
    if isinstance(finding, Problem):
        return (finding.source,)
    return *finding.files, *finding.tiles


def _with_distinct_names(bundles: list[Bundle], folder: Path) -> list[Bundle]:
    """Put the folders below `folder` before names that occur more than once."""
    counts = Counter(bundle.name for bundle in bundles)
    return [bundle if counts[bundle.name] == 1 else _renamed(bundle, folder) for bundle in bundles]


def _renamed(bundle: Bundle, folder: Path) -> Bundle:
    place = bundle.spatial.files[0].parent
    parts = place.relative_to(folder).parts if place.is_relative_to(folder) else ()
    return Bundle(replace(bundle.spatial, name="_".join((*parts, bundle.name))), bundle.spectral)
