"""One image of a random object on a turntable: primitives in three dimensions, a camera, a light and a shadow.

Pixels depend on the seeds alone: every object and image has its own random stream, and nothing is computed in a way
that rounds differently on another machine (no BLAS, no general power, no fused multiply-add).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RENDERER_VERSION = 1
"""Raised whenever the same seeds would render other pixels, so that no cache serves old ones."""

OBJECTS, SHOTS, PAIRS = range(3)
Array = NDArray[np.floating]


def stream(seed: int, use: int, *key: int) -> np.random.Generator:
    """A random stream of its own for every use and key, so that the order of drawing does not matter.

    use: OBJECTS (key: couple), SHOTS (key: identity, view, side) or PAIRS (key: split).
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(use, *key))))


def _uniform(draw: np.random.Generator, low: float, high: float, size: int | tuple[int, ...] | None = None) -> Array:
    """Like Generator.uniform, whose compiled multiply-add rounds differently on some processors."""
    return low + (high - low) * draw.random(size)


# ---------------------------------------------------------------------------------------------------------- objects

# A shape is a convex body inside the unit cube: (axes, slabs) is the set of points p with |p[axes]| <= 1, if there are
# axes, and |g . p| <= 1 for every slab g. All rays meet all shapes in one function, `_meet`.
_Y = (0.0, 1.0, 0.0)
_SHAPES: dict[str, tuple[tuple[int, ...], Array]] = {
    "ellipsoid": ((0, 1, 2), np.empty((0, 3))),
    "barrel": ((0, 1, 2), np.array([(0.0, 1.6, 0.0)])),
    "cylinder": ((0, 2), np.array([_Y])),
    "box": ((), np.eye(3)),
    "prism": ((), np.array([_Y, (2 / math.sqrt(3), 0, 0), (1 / math.sqrt(3), 0, 1.0), (1 / math.sqrt(3), 0, -1.0)])),
}
_PALETTE = np.array(  # reflectance of red, green, blue, linear
    [
        *[(0.75, 0.06, 0.05), (0.85, 0.55, 0.04), (0.25, 0.55, 0.08), (0.03, 0.50, 0.52), (0.04, 0.14, 0.60)],
        *[(0.32, 0.09, 0.50), (0.85, 0.28, 0.45), (0.85, 0.82, 0.76), (0.06, 0.06, 0.07)],
    ]
)


@dataclass(frozen=True)
class Part:
    """One primitive: a shape, stretched by half_size (3,), turned by turn (3, 3), moved to centre (3,); colour (3,)."""

    kind: str
    centre: Array
    half_size: Array
    turn: Array
    colour: Array


def random_object(seed: int, identity: int) -> list[Part]:
    """The 3 to 5 parts of an identity. The odd identity of a couple is the even one with a part changed."""
    draw = stream(seed, OBJECTS, identity // 2)
    colours = draw.permutation(len(_PALETTE))
    body = Part(_kind(draw), np.zeros(3), _uniform(draw, 0.34, 0.5, 3), np.eye(3), _PALETTE[colours[0]])
    parts = [body]
    for k in range(int(draw.integers(2, 5))):
        parts.append(_attached(draw, _PALETTE[colours[1 + k % 3]], parts, on_top=k == 0))
    if identity % 2:
        parts = _twin(draw, parts)
    low, high = (np.array([p.centre + sign * p.half_size for p in parts]) for sign in (-1, 1))
    middle, reach = (low.min(0) + high.max(0)) / 2, (high.max(0) - low.min(0)) / 2
    fit = 0.68 / max(reach[0], reach[1])
    return [dataclasses.replace(p, centre=(p.centre - middle) * fit, half_size=p.half_size * fit) for p in parts]


def _kind(draw: np.random.Generator) -> str:
    return list(_SHAPES)[int(draw.integers(len(_SHAPES)))]


def _attached(draw: np.random.Generator, colour: Array, parts: list[Part], on_top: bool) -> Part:
    """A part that sticks out of the body, parts[0], at its top or where both views see it, clear of the other parts."""
    body, places = parts[0], []
    axes, slabs = _SHAPES[body.kind]
    for _ in range(8):
        azimuth, height = _radians(draw, -60, 20), _radians(draw, 60, 90) if on_top else _radians(draw, -35, 40)
        out = np.array([math.sin(azimuth) * math.cos(height), math.sin(height), math.cos(azimuth) * math.cos(height)])
        rim = max([math.hypot(*out[list(axes)]), *np.abs((slabs * out).sum(1))])
        places.append(body.half_size * out / rim)
    centre = max(places, key=lambda place: min([((place - p.centre) ** 2).sum() for p in parts[1:]], default=0))
    turn = _turn(*(_radians(draw, -40, 40) for _ in range(3)))
    return Part(_kind(draw), centre, _uniform(draw, 0.2, 0.3, 3), turn, colour)


def _radians(draw: np.random.Generator, low_deg: float, high_deg: float) -> float:
    return math.radians(float(_uniform(draw, low_deg, high_deg)))


def _twin(draw: np.random.Generator, parts: list[Part]) -> list[Part]:
    """The same parts, but one in another colour, or one replaced by another part."""
    free = [colour for colour in _PALETTE if not any((colour == part.colour).all() for part in parts)]
    recoloured = draw.random() < 0.6
    k = int(draw.integers(0 if recoloured else 1, len(parts)))
    candidates = [free[i] for i in draw.permutation(len(free))[:3]]
    colour = max(candidates, key=lambda c: np.abs(c - parts[k].colour).sum())  # no two that the light could confuse
    before, after = parts[:k], parts[k + 1 :]
    if recoloured:
        changed = dataclasses.replace(parts[k], colour=colour)
    else:
        changed = _attached(draw, colour, before + after, on_top=k == 1)
    return [*before, changed, *after]


def _turn(yaw: float, pitch: float, roll: float = 0.0) -> Array:
    """Rotation (3, 3) by roll about z, then yaw about y, then pitch about x, in radians; y is up, z to the viewer."""
    (cy, sy), (cp, sp), (cr, sr) = ((math.cos(a), math.sin(a)) for a in (yaw, pitch, roll))
    about_x, about_y, about_z = (
        ([1, 0, 0], [0, cp, -sp], [0, sp, cp]),
        ([cy, 0, sy], [0, 1, 0], [-sy, 0, cy]),
        ([cr, -sr, 0], [sr, cr, 0], [0, 0, 1]),
    )
    return _product(_product(np.array(about_x), np.array(about_y)), np.array(about_z))


def _product(a: Array, b: Array) -> Array:
    """Matrix product a (m, 3) by b (3, n), as written: BLAS rounds differently from machine to machine."""
    return a[:, :1] * b[:1] + a[:, 1:2] * b[1:2] + a[:, 2:] * b[2:]


# ---------------------------------------------------------------------------------------------------------- images


@dataclass(frozen=True)
class Shot:
    """How one image is taken. Lengths are in half image widths, colours are linear light."""

    turn: Array  # (3, 3), object to view
    scale: float
    shift: Array  # (2,), right and up
    light: Array  # (3,), unit vector to the light, in the view
    light_colour: Array  # (3,)
    ambient: Array  # (3,)
    backdrop: Array  # (4, 4, 3), its light at 4 x 4 points
    noise: np.random.Generator


def random_shot(draw: np.random.Generator, side: int) -> Shot:
    """A random camera, light and background of the front view (side 0) or the angle view (side 1)."""
    yaw, pitch = _radians(draw, 30, 60) if side else _radians(draw, -10, 10), _radians(draw, 8, 20)
    aside, exposure = _radians(draw, -65, 65), _uniform(draw, 0.8, 1.2)
    light = np.array([math.sin(aside), _uniform(draw, 0.4, 1.4), math.cos(aside)])
    bottom, top = 0.3 * _uniform(draw, 0.05, 0.8, (2, 3)) + 0.7 * _uniform(draw, 0.05, 0.8, (2, 1))  # rather grey
    height = np.array([1.0, 0.7, 0.25, 0.0])[:, None, None]
    return Shot(
        turn=_turn(yaw, pitch),
        scale=float(_uniform(draw, 0.88, 1.08)),
        shift=_uniform(draw, -0.08, 0.08, 2),
        light=light / math.sqrt((light * light).sum()),
        light_colour=exposure * _uniform(draw, 0.88, 1.12, 3),
        ambient=exposure * 0.45 * _uniform(draw, 0.85, 1.15, 3),
        backdrop=(bottom * (1 - height) + top * height) * _uniform(draw, 0.8, 1.2, (4, 4, 1)),
        noise=draw,
    )


def render(parts: list[Part], shot: Shot, size_px: int) -> NDArray[np.uint8]:
    """One image (size_px, size_px, 3) of the parts, twice supersampled, over a backdrop that takes their shadow."""
    colour, cover = _foreground(parts, shot, 2 * size_px)
    light = colour + (1 - cover) * _backdrop(parts, shot, size_px)
    steps = 2 * shot.noise.integers(-2, 3, (2, size_px, size_px, 3), dtype=np.int8).sum(0, dtype=np.int16)
    bright = np.sqrt(np.minimum(light, 1)) * np.float32(255)  # gamma 2, the square root being exact everywhere
    return np.asarray(np.clip(np.rint(bright + steps), 0, 255), dtype=np.uint8)


def _placed(part: Part, shot: Shot) -> tuple[Array, Array, Array]:
    """Where a part stands in the view: centre (3,), inverse (3, 3) from the view to its unit shape, reach (2,)."""
    axes = _product(shot.turn, part.turn) * (part.half_size * shot.scale)
    centre = _product(shot.turn, part.centre[:, None])[:, 0] * shot.scale
    centre[:2] += shot.shift
    return centre, (axes / (part.half_size * shot.scale) ** 2).T, np.abs(axes[:2]).sum(1)


def _foreground(parts: list[Part], shot: Shot, size: int) -> tuple[Array, Array]:
    """Light of the objects (size/2, size/2, 3), and the share of each pixel they cover (size/2, size/2, 1)."""
    depth = np.full((size, size), -np.inf, np.float32)
    normal, colour = np.empty((2, size * size, 3), np.float32)
    for part in parts:
        centre, inverse, reach = _placed(part, shot)
        (left, top), (right, bottom) = (
            edge(size / 2 * (1 + centre[:2] * (1, -1) + sign * reach)).astype(int).clip(0, size)
            for edge, sign in ((np.floor, -1), (np.ceil, 1))
        )
        right_of = ((2 * np.arange(left, right) + 1) / size - 1 - centre[0]).astype(np.float32)
        above = (1 - (2 * np.arange(top, bottom) + 1) / size - centre[1]).astype(np.float32)
        inverse = inverse.astype(np.float32)
        start = inverse[:, 0, None, None] * right_of + inverse[:, 1, None, None] * above[:, None]
        ahead, faces = _meet(part.kind, start, inverse[:, 2])
        ahead += np.float32(centre[2])
        window = depth[top:bottom, left:right]
        y, x = np.nonzero(ahead > window)
        window[y, x] = ahead[y, x]
        pixel = (y + top) * size + x + left
        normal[pixel] = _product(faces[:, y, x].T, inverse)
        colour[pixel] = part.colour
    hit = np.flatnonzero(depth > -np.inf)
    flat = np.zeros((size * size, 4), np.float32)
    flat[hit] = _shaded(normal[hit], colour[hit], shot)
    image: NDArray[Any] = flat.reshape(size, size, 4)
    image = (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
    return image[..., :3], image[..., 3:]


def _meet(kind: str, start: Array, step: Array) -> tuple[Array, Array]:
    """Where rays from the viewer first meet a unit shape.

    start: (3, h, w) points of the rays; step: (3,) from them to the viewer. Returns how many steps from start the ray
    enters, (h, w), -inf where it misses, and the outward normals (3, h, w), not normalised.
    """
    axes, slabs = _SHAPES[kind]
    enter, leave = np.full(start.shape[1:], np.inf, np.float32), np.full(start.shape[1:], -np.inf, np.float32)
    face = np.zeros(start.shape[1:], np.intp)
    normals = np.zeros((len(slabs) + 1, 3), np.float32)
    for k, slab in enumerate(slabs.astype(np.float32)):
        rate = sum(slab * step)
        rate = rate if abs(rate) > 1e-6 else np.float32(1e-6)  # a ray along the slab
        at = slab[0] * start[0] + slab[1] * start[1] + slab[2] * start[2]
        far = (np.copysign(1, rate) - at) / rate
        face[far < enter], normals[k] = k, np.copysign(1, rate) * slab
        enter = np.minimum(enter, far)
        leave = np.maximum(leave, far - 2 / abs(rate))
    normal = np.moveaxis(normals[face], -1, 0)
    if axes:
        a = max(sum(step[i] * step[i] for i in axes), np.float32(1e-6))  # a ray along the axis of a cylinder
        b = sum(start[i] * step[i] for i in axes)
        root = b * b - a * (sum(start[i] * start[i] for i in axes) - 1)
        width = np.sqrt(np.maximum(root, 0)) / a
        far = width - b / a
        curved = far < enter
        for i in range(3):
            normal[i][curved] = (start[i] + far * step[i])[curved] if i in axes else 0
        enter, leave = np.minimum(enter, far), np.maximum(leave, -width - b / a)
        leave[root < 0] = np.inf
    return np.where(enter >= leave, enter, -np.inf).astype(np.float32), normal


def _shaded(normal: Array, colour: Array, shot: Shot) -> Array:
    """Light and coverage (n, 4) of points with normals (n, 3), not normalised, and colours (n, 3).

    Lambert's law, a sky that is brighter above, and Blinn's highlight.
    """
    x, y, z = normal.T
    length = np.sqrt(x * x + y * y + z * z)
    half = shot.light + np.array([0, 0, 1])
    half = half / math.sqrt((half * half).sum())
    facing, gloss = (
        np.maximum(x * v[0] + y * v[1] + z * v[2], 0) / length
        for v in (shot.light.astype(np.float32), half.astype(np.float32))
    )
    for _ in range(5):  # to the 32nd power; a general power is not exact
        gloss = gloss * gloss
    gloss = np.where(facing > 0, np.float32(0.25) * gloss, 0)
    sky = np.float32(0.6) + np.float32(0.4) * y / length
    beam, ambient = shot.light_colour.astype(np.float32), shot.ambient.astype(np.float32)
    channels = [colour[:, c] * (facing * beam[c] + sky * ambient[c]) + gloss * beam[c] for c in range(3)]
    return np.stack([*channels, np.ones_like(x)], axis=1)


def _backdrop(parts: list[Part], shot: Shot, size: int) -> Array:
    """Light (size, size, 3) of floor and wall, with the soft shadow that the parts cast on the floor."""
    at = np.linspace(0, 3, size)[:, None] - np.arange(4)
    weight = np.maximum(1 - np.abs(at), 0)
    weight = (weight * weight * (3 - 2 * weight)).astype(np.float32)  # smooth steps from point to point
    rows = sum(weight[:, i, None, None] * shot.backdrop[i].astype(np.float32) for i in range(4))
    light = sum(weight[:, j, None] * rows[:, None, j] for j in range(4))
    ticks = ((2 * np.arange(size) + 1) / size - 1).astype(np.float32)
    up = shot.turn[:, 1]  # the floor's normal; each pixel's point on the floor is (right, above, towards)
    low = min(p.centre[1] - math.sqrt(((p.turn[1] * p.half_size) ** 2).sum()) for p in parts) * shot.scale
    towards = (low - (-ticks - shot.shift[1]) * up[1]) / up[2]
    shadow = np.zeros((size, size), np.float32)
    for part in parts:
        centre, inverse, _ = _placed(part, shot)
        beam = _product(inverse, shot.light[:, None])[:, 0]
        beam = beam / math.sqrt((beam * beam).sum())
        across = inverse[:, 0, None] * (ticks - centre[0])
        along = inverse[:, 1, None] * (-ticks - centre[1]) + inverse[:, 2, None] * (towards - centre[2])
        point = (across[:, None, :] + along[:, :, None]).astype(np.float32)
        ahead = sum(np.float32(beam[i]) * point[i] for i in range(3))
        miss = sum(point[i] * point[i] for i in range(3)) - ahead * ahead  # squared distance from the beam to the part
        shadow = np.maximum(shadow, np.clip((1.9 - miss) / 1.4, 0, 1))
    return np.asarray(light * (1 - 0.6 * shadow[..., None]))
