"""Bring the two images of a product together: by key, and by time where a key has several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from bandweave.products import airbus
from bandweave.products.bundle import Bundle, Problem, ProductImage

# Seconds by which PAN and MS of one product may differ. Names of Maxar's files count whole seconds,
# of which the two may fall on different ones; Airbus starts its two strips apart.
_TOLERANCE = 1.0
_TOLERANCES = {airbus.VENDOR: 60.0}


def pair_images(images: Sequence[ProductImage]) -> tuple[list[Bundle], list[Problem]]:
    """Return the products that are complete, and a sentence for every image that is left."""
    groups: dict[tuple[str, str], list[ProductImage]] = defaultdict(list)
    for image in images:
        groups[image.vendor, image.key].append(image)
    bundles: list[Bundle] = []
    problems: list[Problem] = []
    for group in groups.values():
        spatial = [image for image in group if image.role == "spatial"]
        spectral = [image for image in group if image.role == "spectral"]
        for pan, ms in _nearest(spatial, spectral):
            spatial.remove(pan)
            spectral.remove(ms)
            problem = _contradiction(pan, ms)
            if problem is None:
                bundles.append(Bundle(pan, ms))
            else:
                problems.append(problem)
        problems += [_alone(image, group) for image in (*spatial, *spectral)]
    return bundles, problems


def _nearest(
    spatial: list[ProductImage], spectral: list[ProductImage]
) -> Iterator[tuple[ProductImage, ProductImage]]:
    """Yield pairs whose times are nearest to each other, both ways, and near enough."""
    pairs = []
    for pan in spatial:
        best = _closest(pan, spectral)
        if best is not None and _closest(best, spatial) is pan:
            pairs.append((pan, best))
    yield from pairs


def _closest(image: ProductImage, others: list[ProductImage]) -> ProductImage | None:
    """Return the one image that is nearest in time; None where none or several are."""
    limit = _TOLERANCES.get(image.vendor, _TOLERANCE)
    near = [(gap, other) for other in others if (gap := _gap(image, other)) <= limit]
    if not near:
        return None
    least = min(gap for gap, _ in near)
    best = [other for gap, other in near if gap == least]
    return best[0] if len(best) == 1 else None


def _gap(one: ProductImage, other: ProductImage) -> float:
    """Return the seconds between two images; 0 where a time is not known."""
    if one.acquired is None or other.acquired is None:
        return 0.0
    return abs((one.acquired - other.acquired).total_seconds())


def _contradiction(pan: ProductImage, ms: ProductImage) -> Problem | None:
    """Say where the metadata of the two images do not go together."""
    for what, one, two in (
        ("sensor", pan.sensor, ms.sensor),
        ("full scale", pan.full_scale, ms.full_scale),
    ):
        if one is not None and two is not None and one != two:
            return Problem(
                ms.source,
                f"PAN and MS of {pan.name} should have one {what}, but {pan.source.name} says "
                f"{one:{'' if isinstance(one, str) else 'g'}} and {ms.source.name} says "
                f"{two:{'' if isinstance(two, str) else 'g'}}; give the two files and "
                f"--{what.replace(' ', '-')} if you know it.",
            )
    return None


def _alone(image: ProductImage, group: list[ProductImage]) -> Problem:
    """Say why an image found no partner."""
    wanted = "MS" if image.role == "spatial" else "PAN"
    partners = [other for other in group if other.role != image.role]
    own = "PAN" if image.role == "spatial" else "MS"
    if not partners:
        why = f"there is no {wanted} image of {image.name}"
        todo = "complete the delivery, or give both files to `bandweave fuse`"
    elif all(_gap(image, other) > _TOLERANCES.get(image.vendor, _TOLERANCE) for other in partners):
        seconds = min(_gap(image, other) for other in partners)
        why = f"the nearest {wanted} of {image.name} was taken {seconds:.0f} s apart"
        todo = "check that they belong together, and give both files to `bandweave fuse`"
    else:
        names = ", ".join(other.source.name for other in partners[:3])
        why = f"more than one image could be its partner or its rival ({names})"
        todo = "move copies away, or give both files to `bandweave fuse`"
    return Problem(
        image.source, f"The {own} {image.source.name} needs one {wanted} image, but {why}; {todo}."
    )
