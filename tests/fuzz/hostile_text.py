"""Hostile recipes, scenes, links and dataset labels: well-formed with unusual values, or damaged."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from fpc_core.data.occluders import CutOut, Pole, Rectangle, Scene, SceneRecipe, Stroke, TexturedRectangle
from fpc_core.evaluation.paper_tables.score_recipe import ScoreRecipe
from fpc_core.figures.recipe import FigureKind, FigureRecipe
from fpc_core.io.dataclass_json import to_json
from tests.fuzz.damage import BLIND

SCENE = Scene(
    (
        Rectangle(),
        Pole(rotation=20.0),
        TexturedRectangle(),
        CutOut(path="gallery/a.png"),
        Stroke(((0.1, 0.2), (0.6, 0.7), (2.5, -1.0))),
    )
)
RECIPES = (
    FigureRecipe(FigureKind.DROP_PROCESS, ("query/a.png", "query/b.png")),
    FigureRecipe(FigureKind.TRADE_OFF, ()),
    ScoreRecipe(),
    SceneRecipe(SCENE, "query/a.png"),
    SceneRecipe(),
    SCENE,
)
_NAMES = (
    "kind",
    "format",
    "settings",
    "prune",
    "__class__",
    "__init__",
    "occluders",
    "x",
    "",
    "é",
    "\ud800",
    "a" * 4000,
)
_TEXTS = (
    "",
    " ",
    "0",
    "-1",
    "1e999",
    "nan",
    "inf",
    "NaN",
    "9" * 20,
    "9" * 5000,
    "１２",
    "٣",
    "²",
    "1_0",
    "+5",
    "0x10",
    "true",
    "<b>x</b>",
    "<img src=x onerror=alert(1)>",
    "$x^2$",
    "**x**",
    "../../etc/passwd",
    "/etc/passwd",
    "demo/../..",
    "house/query",
    "C:\\x",
    "\0",
    "a\0b",
    "\ud800",
    "\u202e",
    "😀" * 300,
    "x" * 70_000,
    "%s%n",
    "{0}",
    "non-salient",
    "random",
    "exact",
    "sinkhorn",
    "released",
    "paper",
    "q17",
    "g0",
    "q999999",
    "q-1",
    "cuda:99",
    "11",
)
_NUMBERS = (
    0,
    -0.0,
    1,
    -1,
    2,
    0.5,
    1.0000001,
    -0.1,
    3,
    7,
    17,
    255,
    10**6,
    2**31,
    2**63,
    2**64,
    -(2**63),
    10**30,
    10**308,
    10**400,
    1e-320,
    1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
)


def odd_value(chance: Random, depth: int = 0) -> Any:
    """Return a random value of a type that Python's JSON reader can return.

    Args:
        chance: Random generator.
        depth: Number of containers around the value.
    """
    roll = chance.random()
    if roll < 0.45:
        return chance.choice(_NUMBERS)
    if roll < 0.7 or depth > 3:
        return chance.choice((*_TEXTS, None, True, False))
    if roll < 0.85:
        return [odd_value(chance, depth + 1) for _ in range(chance.randint(0, 4))]
    return {chance.choice(_NAMES): odd_value(chance, depth + 1) for _ in range(chance.randint(0, 4))}


def recipe_text(chance: Random) -> tuple[type, str]:
    """Return a recipe type and a text, which may or may not be a recipe of this type."""
    recipe = chance.choice(RECIPES)
    text = to_json(recipe, 1, chance.choice((None, 2)))
    roll = chance.random()
    if roll < 0.75:
        content = json.loads(text)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            content = changed(chance, content)
        text = json.dumps(content, ensure_ascii=chance.random() < 0.5)
    elif roll < 0.9:
        damaged = text.encode()
        for _ in range(chance.randint(1, 4)):
            damaged = chance.choice(BLIND)(chance, damaged)
        text = damaged.decode(errors=chance.choice(("replace", "surrogateescape", "ignore")))
    elif roll < 0.95:
        text = json.dumps({"format": 1, **{chance.choice(_NAMES): odd_value(chance) for _ in range(3)}})
    else:
        many = chance.choice((10, 1000, 200_000))
        text = chance.choice(
            ("[" * many, '{"a":' * many, text[:-2] + ' "x": ' + "[" * many, '"' + "\\ud800" * many + '"')
        )
    return chance.choice((type(recipe), type(recipe), type(recipe), type(chance.choice(RECIPES)))), text


def link(chance: Random) -> dict[str, str]:
    """Return random query parameters."""
    names = (
        "query",
        "neighbor",
        "rival",
        "pin",
        "gamma",
        "alpha",
        "k",
        "drop",
        "variant",
        "solver",
        "epsilon",
        "data",
        "weights",
        "memory",
        "device",
        "stride",
        "usual",
        "scene",
        "step",
        chance.choice(_NAMES),
    )
    chosen = chance.sample(names, chance.randint(1, 8))
    return {name: _scene(chance) if name == "scene" else _parameter(chance) for name in chosen}


def label(chance: Random) -> bytes:
    """Return the content of a dataset.json."""
    whole: dict[str, Any] = {"name": "Street", "synthetic": True, "note": "", "layout": "dukemtmc", "neighbors": 4}
    roll = chance.random()
    if roll < 0.7:
        for _ in range(chance.randint(1, 3)):
            whole[chance.choice((*whole, "opening", "examples", "more"))] = odd_value(chance)
        return json.dumps(whole).encode()
    if roll < 0.9:
        return chance.choice(BLIND)(chance, json.dumps(whole).encode())
    return chance.choice((b"[" * 200_000, b'{"a":' * 100_000, b"\xff\xfe{", b"\xef\xbb\xbf{}", b"null", b"", b"1e999"))


def file_names(chance: Random) -> list[str]:
    """Return file names of images, including ones that only some file systems allow."""
    return [_file_name(chance) for _ in range(chance.randint(1, 4))]


def _file_name(chance: Random) -> str:
    number = chance.choice(("0001", "-1", "-2", "0", "9" * 25, "9" * 200, "٣", "²", "1_0", "", " 1"))
    camera = chance.choice(("1", "0", "9" * 25, "9" * 180, "٣", "", "-1"))
    name = f"{number}_c{camera}{chance.choice(('s1', '', '_'))}_f{chance.choice(('1', '<b>', '*', '🙂'))}"
    return name.encode()[:240].decode(errors="ignore") + chance.choice((".png", ".JPG", ".webp"))


def changed(chance: Random, content: Any) -> Any:
    """Return JSON content in which a value at a random depth is replaced, removed, repeated or renamed.

    Args:
        chance: Random generator.
        content: JSON content.
    """
    if isinstance(content, dict) and content and chance.random() < 0.85:
        return _changed_object(chance, content)
    if isinstance(content, list) and content and chance.random() < 0.85:
        at, many = chance.randrange(len(content)), chance.choice((1, 1, 1, 0, 2, 500))
        return [*content[:at], *[changed(chance, content[at])] * many, *content[at + 1 :]]
    if isinstance(content, int | float) and abs(content) < 1e300 and chance.random() < 0.4:
        return content * chance.choice((0, -1, 0.5, 3, 1000, 1 + 1e-9))
    return odd_value(chance)


def _changed_object(chance: Random, content: dict[str, Any]) -> dict[str, Any]:
    name = chance.choice(list(content))
    rest = {key: value for key, value in content.items() if key != name}
    return chance.choice(
        (
            *[{**content, name: changed(chance, content[name])}] * 4,
            rest,
            {**rest, chance.choice(_NAMES): content[name]},
            {**content, chance.choice(_NAMES): odd_value(chance)},
        )
    )


def _parameter(chance: Random) -> str:
    if chance.random() < 0.7:
        return chance.choice(_TEXTS)
    if chance.random() < 0.5:
        return str(chance.choice(_NUMBERS))
    return "".join(chr(chance.choice((chance.randrange(32, 127), chance.randrange(0x110000)))) for _ in range(20))


def _scene(chance: Random) -> str:
    """Return the parameter of a scene in a link to the Lab, which is usually damaged."""
    from app.session.lab_scene import to_link  # Imported late, because it needs the fixtures of the tests.

    text = to_link(SCENE)
    return chance.choice(BLIND)(chance, text.encode()).decode(errors="replace") if chance.random() < 0.8 else text
