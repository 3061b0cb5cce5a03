"""Paint a plan of the place: which surface, how bright, in sun or shadow, at every pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw
from scipy import ndimage

from bandweave.datasets.synthetic.spectra import Surface

Point = tuple[float, float]
Polygon = list[Point]

_ROOFS = (
    Surface.RED_TILE, Surface.ORANGE_TILE, Surface.DARK_ROOF, Surface.DARK_ROOF,
    Surface.METAL, Surface.CONCRETE, Surface.BLUE_ROOF, Surface.RED_TILE,
)  # fmt: skip
_FIELDS = (Surface.GRASS, Surface.CROP, Surface.STUBBLE, Surface.SOIL, Surface.CROP)
_NEUTRAL = 128  # brightness that leaves the reflectance as it is


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The plan of a place, all `(H, W)`."""

    surface: NDArray[np.uint8]
    """Label of the material."""
    brightness: NDArray[np.float32]
    """Factor on the reflectance: slopes of roofs, crowns, single objects."""
    shadow: NDArray[np.float32]
    """Share of the pixel without direct sunlight, in [0, 1]."""


class Painter:
    """Draws objects from the ground up; everything in pixels (x, y) of the plan."""

    def __init__(self, height: int, width: int, metre: float, rng: np.random.Generator) -> None:
        self.height, self.width = height, width
        self.metre = metre
        """Pixels per metre."""
        self.rng = rng
        self._surface = Picture.new("L", (width, height), int(Surface.SOIL))
        self._brightness = Picture.new("L", (width, height), _NEUTRAL)
        self._shadow = Picture.new("L", (width, height), 0)
        self._surface_draw = ImageDraw.Draw(self._surface)
        self._brightness_draw = ImageDraw.Draw(self._brightness)
        self._shadow_draw = ImageDraw.Draw(self._shadow)
        azimuth = rng.uniform(0.15, 0.35) * math.pi
        length = rng.uniform(0.6, 1.3)
        self.sun = (-length * math.cos(azimuth), -length * math.sin(azimuth))
        """Shadow of one metre of height, in metres (x, y): the sun stands in the south-east."""

    def layout(self) -> Layout:
        """Return what was painted."""
        shadow = np.asarray(self._shadow, dtype=np.float32) / np.float32(255)
        # The sun is no point: shadows have a soft edge of some decimetres.
        soft: NDArray[np.float32] = ndimage.gaussian_filter(shadow, 0.4 * self.metre)
        brightness = np.asarray(self._brightness, dtype=np.float32) / np.float32(_NEUTRAL)
        return Layout(np.array(self._surface), brightness, soft)

    def polygon(self, points: Polygon, surface: Surface, brightness: float = 1.0) -> None:
        """Fill a polygon; it lies in the sun until something throws a shadow on it."""
        level = int(np.clip(brightness * _NEUTRAL, 1, 255))
        self._surface_draw.polygon(points, fill=int(surface))
        self._brightness_draw.polygon(points, fill=level)
        self._shadow_draw.polygon(points, fill=0)

    def shade(self, points: Polygon, height: float) -> None:
        """Throw the shadow of a footprint standing `height` metres high."""
        steps = max(int(height * 2), 2)
        for step in range(1, steps + 1):
            reach = height * step / steps * self.metre
            moved = [(x + self.sun[0] * reach, y + self.sun[1] * reach) for x, y in points]
            self._shadow_draw.polygon(moved, fill=255)

    def disc(self, centre: Point, radius: float, surface: Surface, brightness: float) -> None:
        """Fill a disc."""
        x, y = centre
        box = (x - radius, y - radius, x + radius, y + radius)
        self._surface_draw.ellipse(box, fill=int(surface))
        level = int(np.clip(brightness * _NEUTRAL, 1, 255))
        self._brightness_draw.ellipse(box, fill=level)
        self._shadow_draw.ellipse(box, fill=0)

    def path(self, points: Polygon, width: float, surface: Surface, brightness: float = 1) -> None:
        """Draw a line of `width` pixels."""
        level = int(np.clip(brightness * _NEUTRAL, 1, 255))
        whole = max(round(width), 1)
        self._surface_draw.line(points, fill=int(surface), width=whole, joint="curve")
        self._brightness_draw.line(points, fill=level, width=whole, joint="curve")
        self._shadow_draw.line(points, fill=0, width=whole, joint="curve")


def rectangle(centre: Point, length: float, depth: float, angle: float) -> Polygon:
    """Return the corners of a turned rectangle, in pixels, `length` along `angle`."""
    c, s = math.cos(angle), math.sin(angle)
    corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [
        (
            centre[0] + a * length / 2 * c - b * depth / 2 * s,
            centre[1] + a * length / 2 * s + b * depth / 2 * c,
        )
        for a, b in corners
    ]


def paint_fields(painter: Painter, angle: float) -> None:
    """Cover the ground with parcels of crops, stubble, soil and grass, some with rows."""
    rng, metre = painter.rng, painter.metre
    size = math.hypot(painter.height, painter.width)
    across = -size / 2
    while across < size / 2:
        depth = rng.uniform(25, 70) * metre
        along = -size / 2
        while along < size / 2:
            length = rng.uniform(40, 120) * metre
            centre = _turned(painter, (along + length / 2, across + depth / 2), angle)
            surface = _FIELDS[rng.integers(len(_FIELDS))]
            brightness = rng.uniform(0.75, 1.2)
            painter.polygon(rectangle(centre, length + 1, depth + 1, angle), surface, brightness)
            if rng.random() < 0.45:
                parcel = _Parcel((along, across), (length, depth), surface, brightness)
                _paint_rows(painter, parcel, angle)
            along += length + rng.uniform(0, 1.5) * metre
        across += depth + rng.uniform(0, 2) * metre


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A field in coordinates turned with the town."""

    corner: Point
    size: Point
    surface: Surface
    brightness: float


def _paint_rows(painter: Painter, parcel: _Parcel, angle: float) -> None:
    """Draw the rows of a field, darker and lighter in turn."""
    spacing = painter.rng.uniform(1.2, 3.5) * painter.metre
    contrast = painter.rng.uniform(0.08, 0.3)
    (x, y), (length, depth) = parcel.corner, parcel.size
    for k in range(1, int(depth / spacing)):
        ends = [
            _turned(painter, (x + 2, y + k * spacing), angle),
            _turned(painter, (x + length - 2, y + k * spacing), angle),
        ]
        painter.path(ends, spacing * 0.45, parcel.surface, parcel.brightness * (1 - contrast))


def paint_pond(painter: Painter) -> None:
    """Fill an irregular shape with water, with a bare shore."""
    rng, metre = painter.rng, painter.metre
    centre = (rng.uniform(0.1, 0.9) * painter.width, rng.uniform(0.1, 0.9) * painter.height)
    radius = rng.uniform(15, 45) * metre
    angles = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    waves = np.ones(angles.size)
    for k in range(1, 5):
        waves += rng.uniform(0, 0.25) / k * np.cos(k * angles + rng.uniform(0, 6))
    for factor, surface in ((1.0 + 3 * metre / radius, Surface.SOIL), (1.0, Surface.WATER)):
        reach = radius * factor * waves
        outline = [
            (float(centre[0] + r * math.cos(a)), float(centre[1] + r * math.sin(a)))
            for a, r in zip(angles, reach, strict=True)
        ]
        painter.polygon(outline, surface, 1.0 if surface is Surface.WATER else 1.15)


def paint_blocks(painter: Painter, angle: float, spacing: float) -> None:
    """Lay a grid of streets with houses, yards, trees and cars over part of the place."""
    rng, metre = painter.rng, painter.metre
    size = math.hypot(painter.height, painter.width)
    lines = np.arange(-size / 2, size / 2, spacing * metre)
    built = rng.random((len(lines), len(lines))) < rng.uniform(0.45, 0.8)
    for i, x in enumerate(lines):
        for j, y in enumerate(lines):
            if built[i, j]:
                _paint_block(painter, (float(x), float(y)), spacing * metre, angle)
    for line in lines:
        width = float(rng.choice([5.0, 7.0, 7.0, 12.0])) * metre
        for turned in (False, True):
            ends: list[Point] = [(-size / 2, float(line)), (size / 2, float(line))]
            if turned:
                ends = [(y, x) for x, y in ends]
            _paint_street(painter, [_turned(painter, end, angle) for end in ends], width)


def _paint_block(painter: Painter, corner: Point, size: float, angle: float) -> None:
    """Fill a block with rows of houses on grass, gravel or concrete."""
    rng, metre = painter.rng, painter.metre
    ground = (Surface.GRASS, Surface.GRASS, Surface.GRAVEL, Surface.CONCRETE)[rng.integers(4)]
    middle = _turned(painter, (corner[0] + size / 2, corner[1] + size / 2), angle)
    painter.polygon(rectangle(middle, size, size, angle), ground, rng.uniform(0.8, 1.1))
    is_hall = rng.random() < 0.2
    step = size if is_hall else rng.uniform(13, 22) * metre
    y = corner[1] + (6 * metre if not is_hall else 0)
    while y + step <= corner[1] + size + 1:
        x = corner[0] + 6 * metre
        while x + step <= corner[0] + size - 2 * metre or is_hall:
            centre = _turned(painter, (x + step / 2, y + step / 2), angle)
            _paint_house(painter, centre, step, angle, is_hall=is_hall)
            if is_hall:
                return
            x += step
        y += step
    for _ in range(int(rng.integers(2, 9))):
        place = (corner[0] + rng.uniform(0, size), corner[1] + rng.uniform(0, size))
        paint_tree(painter, _turned(painter, place, angle))


def _paint_house(
    painter: Painter, centre: Point, plot: float, angle: float, *, is_hall: bool
) -> None:
    """Draw a house with its shadow: a gable of two slopes, or a flat roof with fittings."""
    rng, metre = painter.rng, painter.metre
    length = plot * rng.uniform(0.5, 0.8)
    depth = plot * rng.uniform(0.35, 0.6)
    turned = angle + (math.pi / 2 if rng.random() < 0.4 else 0.0)
    surface = _ROOFS[rng.integers(len(_ROOFS))]
    footprint = rectangle(centre, length, depth, turned)
    painter.shade(footprint, rng.uniform(3, 6) if not is_hall else rng.uniform(6, 12))
    base = rng.uniform(0.8, 1.15)
    if is_hall or rng.random() < 0.25:
        painter.polygon(footprint, surface, base)
        for _ in range(int(rng.integers(0, 12))):
            spot = (
                centre[0] + rng.uniform(-0.3, 0.3) * depth,
                centre[1] + rng.uniform(-0.3, 0.3) * depth,
            )
            box = rectangle(spot, rng.uniform(1, 3) * metre, rng.uniform(1, 2) * metre, turned)
            painter.polygon(box, Surface.CONCRETE, rng.uniform(0.6, 1.5))
        return
    slope = rng.uniform(0.12, 0.35)
    sign = 1 if math.sin(turned) * painter.sun[0] - math.cos(turned) * painter.sun[1] > 0 else -1
    half = (-depth / 4 * math.sin(turned), depth / 4 * math.cos(turned))
    for side in (-1, 1):
        middle = (centre[0] + side * half[0], centre[1] + side * half[1])
        painter.polygon(
            rectangle(middle, length, depth / 2, turned), surface, base * (1 + side * sign * slope)
        )


def paint_tree(painter: Painter, centre: Point) -> None:
    """Draw a crown, brighter on its sunny side, with its shadow."""
    rng, metre = painter.rng, painter.metre
    radius = rng.uniform(1.2, 4.0) * metre
    ring = np.linspace(0, 2 * math.pi, 12, endpoint=False)
    outline = [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in ring]
    painter.shade(outline, rng.uniform(3, 9))
    base = rng.uniform(0.7, 1.2)
    for k in range(4):
        shrink = 1 - 0.22 * k
        towards = 0.25 * k * radius
        middle = (centre[0] - painter.sun[0] * towards, centre[1] - painter.sun[1] * towards)
        painter.disc(middle, radius * shrink, Surface.TREE, base * (0.75 + 0.18 * k))


def _paint_street(painter: Painter, ends: list[Point], width: float) -> None:
    """Draw a street with pavements, a dashed line, cars, and trees along it."""
    rng, metre = painter.rng, painter.metre
    painter.path(ends, width + 2.4 * metre, Surface.CONCRETE, rng.uniform(0.7, 1.0))
    painter.path(ends, width, Surface.ASPHALT, rng.uniform(0.8, 1.3))
    (x0, y0), (x1, y1) = ends
    total = math.hypot(x1 - x0, y1 - y0)
    ux, uy = (x1 - x0) / total, (y1 - y0) / total
    angle = math.atan2(uy, ux)
    if width > 6 * metre:
        for start in np.arange(0, total, 6 * metre):
            dash = [(x0 + ux * (start + d), y0 + uy * (start + d)) for d in (0, 3 * metre)]
            painter.path(dash, 0.25 * metre, Surface.PAINT)
    for position in np.arange(0, total, 9 * metre):
        if rng.random() < 0.16:
            lane = float(rng.choice([-1.0, 1.0])) * width / 4
            centre = (x0 + ux * position - uy * lane, y0 + uy * position + ux * lane)
            car = rectangle(centre, 4.4 * metre, 1.9 * metre, angle)
            painter.shade(car, 1.2)
            painter.polygon(car, Surface.CAR, float(rng.choice([0.25, 0.5, 1.6, 1.9])))
        if rng.random() < 0.2:
            side = (width / 2 + 2.5 * metre) * float(rng.choice([-1.0, 1.0]))
            paint_tree(painter, (x0 + ux * position - uy * side, y0 + uy * position + ux * side))


def paint_wood(painter: Painter) -> None:
    """Fill a patch with trees, crown beside crown."""
    rng, metre = painter.rng, painter.metre
    centre = (rng.uniform(0, painter.width), rng.uniform(0, painter.height))
    spread = rng.uniform(12, 35) * metre
    for _ in range(int((spread / metre) ** 2 * 0.16)):
        offset = rng.normal(0, spread / 2, 2)
        paint_tree(painter, (centre[0] + float(offset[0]), centre[1] + float(offset[1])))


def _turned(painter: Painter, place: Point, angle: float) -> Point:
    """Turn coordinates about the middle of the plan."""
    c, s = math.cos(angle), math.sin(angle)
    return (
        painter.width / 2 + place[0] * c - place[1] * s,
        painter.height / 2 + place[0] * s + place[1] * c,
    )


def painted_place(height: int, width: int, metre: float, rng: np.random.Generator) -> Layout:
    """Paint a place of fields, woods, water and a town, different for each generator state."""
    painter = Painter(height, width, metre, rng)
    angle = rng.uniform(0, math.pi / 2)
    paint_fields(painter, angle + rng.uniform(-0.3, 0.3))
    paint_pond(painter)
    for _ in range(int(rng.integers(1, 4))):
        paint_wood(painter)
    paint_blocks(painter, angle, rng.uniform(55, 110))
    return painter.layout()
