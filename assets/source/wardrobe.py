"""Draw the people of the demo world: build, hair, clothes and carried items, with typical colours of street clothes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from solids import MAT_WIDTH

SKIN, LOWER, UPPER, SHOES, HAIR, HAT, BAG, UMBRELLA, METAL = range(9)  # Layers of a person.
M_SKIN, M_CLOTH, M_HAIR, M_LEATHER, M_SHOE, M_LEAF, M_METAL, M_RUBBER, M_PAINT = range(9)  # Kinds of material.
PLAIN, STRIPES, PINSTRIPES, CHECKS, TWO_TONE, PRINT, LOGO, RAGLAN, DENIM, KNIT, DOTS, SIDE_STRIPE = range(12)

SKINS = ["#f0cdb4", "#e8bd9e", "#dcab88", "#cf9a74", "#b98057", "#9a6642", "#7a4d31", "#5b3826", "#43291d"]
HAIRS = ["#15110f", "#1d1714", "#2b1f18", "#3d2a1e", "#5a3e28", "#7d5a39", "#a98253", "#c9a871", "#7a3b22", "#8d8a86", "#c9c6c0"]
DARK = ["#17181b", "#1f2125", "#26282e", "#1c2230", "#202c44", "#2c2a29", "#33302e", "#2a2f2c", "#31202a"]
MUTED = ["#3c4450", "#4b4f55", "#6b6e72", "#8a8b8c", "#5b5347", "#77694f", "#4a5138", "#5f6748", "#5a3a34", "#6d2b31", "#36506b"]
LIGHT = ["#e6e4de", "#f1efe9", "#d8d2c4", "#c9bda4", "#b9bcc0", "#b5c3d1", "#cfc3c6", "#c4ccb8"]
ACCENT = ["#8c1f28", "#a8443a", "#b86b2f", "#c59a3c", "#2f6b60", "#3f6f9b", "#2b4f8f", "#6f4a78", "#c98a94", "#3d7a4a", "#b3412e"]
JEANS = ["#22304a", "#2d3f5e", "#3d557a", "#56708f", "#7f95ab", "#1c1f26", "#26282c", "#a9b7c4"]
TROUSERS = ["#1b1c1f", "#232529", "#2e3036", "#25304a", "#4a4b4c", "#6e6a5f", "#8b7b5d", "#b3a27f", "#4d5238", "#5a4636", "#9a9a98", "#d4cdbd"]
SHOE_COLOURS = ["#1a1a1b", "#202022", "#e8e6e1", "#dedad2", "#4c3524", "#6a4a2f", "#8a8c8f", "#2c3a55", "#a33b35", "#b9a98a"]
BAGS = ["#1b1c1e", "#26292f", "#2d3648", "#5a3d28", "#7a5433", "#4a4f3c", "#7b2f31", "#8b8d90", "#b99b6b", "#2f5c66", "#c0b7a6"]


def linear(colour: str) -> np.ndarray:
    """Convert a colour '#rrggbb' in sRGB to linear light, (3,)."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


@dataclass(frozen=True)
class Garment:
    """A piece of clothing with its cut, its pattern and three colours ('#rrggbb'), which the pattern may not all use."""

    cut: str
    pattern: int
    colours: tuple[str, str, str]
    scale: float  # Length of one repeat of the pattern in metres.
    seed: int
    leather: bool = False


@dataclass(frozen=True)
class Outfit:
    """Everything that identifies a person, which is equal in all images of this person."""

    seed: int
    height: float
    weight: float  # From -1 (slim) to 1 (heavy).
    feminine: float  # From 0 to 1; affects shoulders, hips and chest.
    skin: str
    hair: str
    hair_style: str
    beard: bool
    glasses: bool
    upper: Garment
    lower: Garment
    shoes: str
    shoe_style: str
    sole: str
    hat: str
    hat_colour: str
    bag: str
    bag_colour: str
    scarf: str
    umbrella: str


def _pick(rng: np.random.Generator, options: list[str], weights: list[float] | None = None) -> str:
    p = None if weights is None else np.array(weights) / np.sum(weights)
    return str(options[int(rng.choice(len(options), p=p))])


def _shade(rng: np.random.Generator, colour: str, spread: float = 14) -> str:
    """Change lightness and hue of a colour slightly, as in another batch of the same dye."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float)
    c = c + rng.normal(0, spread * 0.6) + rng.normal(0, spread * 0.35, 3)
    return "#" + "".join(f"{int(v):02x}" for v in np.clip(c, 12, 246))


def _cloth(rng: np.random.Generator) -> str:
    group = _pick(rng, ["dark", "muted", "light", "accent"], [0.3, 0.28, 0.22, 0.2])
    return _shade(rng, _pick(rng, {"dark": DARK, "muted": MUTED, "light": LIGHT, "accent": ACCENT}[group]))


def _upper(rng: np.random.Generator, feminine: float) -> Garment:
    cut = _pick(rng, ["tshirt", "shirt", "sweater", "hoodie", "jacket", "coat", "dress"], [22, 15, 14, 15, 20, 9, 9 if feminine > 0.6 else 0])
    patterns = {
        "tshirt": ([PLAIN, STRIPES, LOGO, RAGLAN, TWO_TONE, PRINT, DOTS], [28, 20, 24, 10, 8, 8, 2]),
        "shirt": ([PLAIN, CHECKS, PINSTRIPES, DENIM, PRINT], [36, 34, 14, 8, 8]),
        "sweater": ([KNIT, STRIPES, TWO_TONE, PLAIN], [45, 25, 15, 15]),
        "hoodie": ([PLAIN, LOGO, RAGLAN, TWO_TONE], [45, 30, 10, 15]),
        "jacket": ([PLAIN, TWO_TONE, DENIM, RAGLAN, CHECKS], [55, 17, 15, 8, 5]),
        "coat": ([PLAIN, CHECKS, KNIT], [75, 15, 10]),
        "dress": ([PLAIN, PRINT, STRIPES, DOTS, CHECKS], [35, 30, 15, 10, 10]),
    }[cut]
    pattern = int(rng.choice(patterns[0], p=np.array(patterns[1]) / sum(patterns[1])))
    main, other, third = _cloth(rng), _cloth(rng), _cloth(rng)
    if pattern == DENIM:
        main = _shade(rng, _pick(rng, JEANS))
    if cut in ("jacket", "coat", "hoodie") and rng.random() < 0.6:
        main = _shade(rng, _pick(rng, DARK + MUTED))
    if pattern == LOGO and rng.random() < 0.6:
        other = _shade(rng, _pick(rng, LIGHT))
    scale = {STRIPES: rng.uniform(0.05, 0.15), CHECKS: rng.uniform(0.06, 0.15), PRINT: rng.uniform(0.05, 0.12)}.get(pattern, 0.08)
    leather = cut == "jacket" and pattern == PLAIN and rng.random() < 0.25
    return Garment(cut, pattern, (main, other, third), float(scale), int(rng.integers(1 << 20)), leather)


def _lower(rng: np.random.Generator, feminine: float, upper: Garment) -> Garment:
    cut = _pick(rng, ["jeans", "trousers", "slim", "shorts", "skirt", "longskirt"], [32, 24, 16, 12, *([13, 7] if feminine > 0.6 else [0, 0])])
    if upper.cut == "dress":
        cut = "legs" if rng.random() < 0.5 else "slim"
    if upper.cut == "coat" and cut in ("shorts", "skirt"):
        cut = "slim"
    if cut == "jeans" or (cut == "shorts" and rng.random() < 0.35):
        colour, pattern = _pick(rng, JEANS), DENIM
    else:
        colour, pattern = _pick(rng, TROUSERS if cut in ("trousers", "shorts") else DARK + MUTED + ACCENT[:8]), PLAIN
        if cut == "trousers" and rng.random() < 0.22:
            pattern = SIDE_STRIPE
        elif cut in ("skirt", "longskirt"):
            pattern = int(rng.choice([PLAIN, CHECKS, PRINT, PINSTRIPES], p=[0.5, 0.2, 0.2, 0.1]))
    if cut in ("slim", "legs"):
        colour = _pick(rng, DARK)
    return Garment(cut, pattern, (_shade(rng, colour, 9), _pick(rng, LIGHT + MUTED), _cloth(rng)), float(rng.uniform(0.07, 0.14)), int(rng.integers(1 << 20)))


def make_outfit(seed: int) -> Outfit:
    """Draw the outfit of a person from a seed."""
    rng = np.random.default_rng([seed, 11])
    feminine = float(np.clip(rng.choice([0.05, 0.95]) + rng.normal(0, 0.08), 0, 1))
    child = rng.random() < 0.03
    height = float(np.clip(rng.normal(1.765 - 0.125 * feminine, 0.068), 1.5, 1.97)) * (0.8 if child else 1.0)
    upper = _upper(rng, feminine)
    long_hair = feminine > 0.5
    styles = ["long", "pony", "bob", "bun", "short"] if long_hair else ["short", "crop", "bald", "quiff", "bob"]
    skin = _pick(rng, SKINS, [10, 16, 16, 14, 11, 10, 9, 8, 6])
    dark_skin = SKINS.index(skin) >= 4
    return Outfit(
        seed=seed,
        height=height,
        weight=float(np.clip(rng.normal(0.0, 0.5), -0.9, 1.5)),
        feminine=feminine,
        skin=skin,
        hair=_shade(rng, _pick(rng, HAIRS[:4] if dark_skin else HAIRS), 6),
        hair_style=_pick(rng, styles, [32, 24, 18, 14, 12] if long_hair else [42, 26, 9, 17, 6]),
        beard=not long_hair and not child and rng.random() < 0.3,
        glasses=rng.random() < 0.2,
        upper=upper,
        lower=_lower(rng, feminine, upper),
        shoes=_shade(rng, _pick(rng, SHOE_COLOURS), 8),
        shoe_style=_pick(rng, ["trainer", "shoe", "boot"], [60, 25, 15]),
        sole=_pick(rng, ["#ece9e2", "#d6d1c6", "#232324", "#5b4633"], [40, 15, 35, 10]),
        hat=_pick(rng, ["none", "cap", "beanie", "brim"], [76, 12, 8, 4]),
        hat_colour=_cloth(rng),
        bag=_pick(rng, ["none", "backpack", "handbag", "shoulder"], [38, 30, 14, 18]),
        bag_colour=_shade(rng, _pick(rng, BAGS), 10),
        scarf=_cloth(rng) if upper.cut in ("coat", "jacket") and rng.random() < 0.3 else "",
        umbrella=_cloth(rng) if rng.random() < 0.06 else "",
    )


def near_double(outfit: Outfit, seed: int) -> Outfit:
    """Draw another person in nearly the same clothes, with an equal upper garment and different details."""
    other = make_outfit(seed)
    rng = np.random.default_rng([seed, 12])
    lower = outfit.lower if rng.random() < 0.5 else other.lower
    return replace(other, upper=replace(outfit.upper, seed=other.upper.seed), lower=lower, feminine=outfit.feminine, hair_style=outfit.hair_style)


def material(kind: int, colours: tuple[str, ...], pattern: int = 0, scale: float = 0.1, gloss: float = 0.03, seed: int = 0, flags: tuple[float, ...] = ()) -> np.ndarray:
    """Return a row of `materials`: kind, three linear colours, pattern, scale, gloss, seed and flags."""
    row = np.zeros(MAT_WIDTH, np.float32)
    row[0] = kind
    for i in range(3):
        row[1 + 3 * i : 4 + 3 * i] = linear(colours[min(i, len(colours) - 1)])
    row[10:14] = pattern, scale, gloss, seed % 65536
    row[14 : 14 + len(flags)] = flags
    return row


def materials(outfit: Outfit) -> np.ndarray:
    """Return the materials of a person, (LAYERS, 24), one row per layer."""
    up, low = outfit.upper, outfit.lower
    opening = {"jacket": 1.0 + up.seed % 2, "coat": 1.0 + (up.seed // 2) % 2, "shirt": 3.0, "hoodie": 1.0 + up.seed % 3 // 2}.get(up.cut, 0.0)
    bare_legs = low.cut in ("shorts", "skirt", "legs")
    hosiery = 1.0 if bare_legs and low.cut != "shorts" and low.seed % 3 == 0 else 0.0
    return np.stack(
        [
            material(M_SKIN, (outfit.skin, outfit.hair, "#2a1714"), gloss=0.04, seed=outfit.seed, flags=(float(outfit.beard), float(outfit.glasses), hosiery)),
            material(M_CLOTH, low.colours, low.pattern, low.scale, 0.02, low.seed, (0.0, 1.0 if low.cut in ("jeans", "trousers", "shorts") else 0.0)),
            material(
                M_LEATHER if up.leather else M_CLOTH,
                (*up.colours[:2], outfit.scarf or up.colours[2]),
                up.pattern,
                up.scale,
                0.02,
                up.seed,
                (opening, 0.0, float(bool(outfit.scarf))),
            ),
            material(
                M_SHOE,
                (outfit.shoes, outfit.sole, "#f0ede6"),
                gloss=0.08 if outfit.shoe_style == "trainer" else 0.25,
                seed=outfit.seed,
                flags=(float(outfit.shoe_style == "trainer"),),
            ),
            material(M_HAIR, (outfit.hair,), gloss=0.025, seed=outfit.seed),
            material(M_CLOTH, (outfit.hat_colour, outfit.hat_colour), KNIT if outfit.hat == "beanie" else PLAIN, 0.1, 0.02, outfit.seed, (0.0, 0.0, 0.0)),
            material(M_LEATHER if outfit.bag != "backpack" else M_CLOTH, (outfit.bag_colour, outfit.bag_colour), PLAIN, 0.1, 0.1, outfit.seed),
            material(M_PAINT, (outfit.umbrella or "#202020", "#202020"), gloss=0.05, flags=(8.0,)),
            material(M_METAL, ("#3a3b3d",), gloss=0.3),
        ]
    )
