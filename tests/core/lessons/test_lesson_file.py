"""The exported lesson has the content of the app, and its paging and answers work offline."""

import re
from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from fpc_core.cli import main
from fpc_core.config import PruneSettings, QuerySettings, Variant
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.data.match_label import QueryIdentity
from fpc_core.lessons.context import lesson_context
from fpc_core.lessons.course import lesson
from fpc_core.lessons.sinkhorn_runs import toy
from fpc_core.report.lesson import render_lesson
from fpc_core.workspace import open_workspace

MADE = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOSTILE = "</script><img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def page_and_steps(small_places):
    workspace = open_workspace(small_places, "cpu")
    record, config = workspace.dataset.query[0], workspace.retriever.model.config
    image = resize_image(workspace.dataset.read(record), config.image_size)
    settings = QuerySettings(PruneSettings(0.8), variant=Variant.PAPER, neighbors=4, shortlist=32)
    trace = workspace.retriever.search(to_tensor([image], config), settings, torch.tensor([record.camera]))
    case = lesson_context(
        workspace.retriever, trace, QueryIdentity(record.identity, record.camera), workspace.dataset.uses_cameras
    )
    return render_lesson(workspace, image, HOSTILE, case, MADE), lesson(case)


def test_the_file_is_self_contained_and_names_are_escaped(page_and_steps):
    page, steps = page_and_steps
    assert set(re.findall(r'(?:src|href)="(\w+:)', page)) == {"data:"}
    assert re.findall(r"https?://[^\s\"'<]+", page.replace("http://www.w3.org/1998/Math/MathML", "")) == []
    assert "<img src=x" not in page
    assert "default-src 'none'" in page
    for step in steps:
        assert step.quiz.reveal.replace("'", "&#39;").replace("<", "&lt;") in page
    for fact in ("SYNTHETIC", "model.safetensors, SHA-256", "paper", "2026-11-25 12:00 UTC"):
        assert fact in page


def test_every_equation_is_complete_mathml_with_its_numbers(page_and_steps):
    page, steps = page_and_steps
    drawn = [ElementTree.fromstring(each) for each in re.findall(r"<math.*?</math>", page, re.S)]
    expected = sum(1 + len(equation.numbers) for step in steps for equation in step.equations)
    assert len(drawn) == expected
    texts = ["".join(each.itertext()) for each in drawn]
    assert not any("\\" in text for text in texts)
    d = next(step for step in steps if step.key == "distance")
    for value in re.findall(r"\d+\.\d{4}", d.equations[0].numbers[1]):
        assert any(value in text for text in texts)


def test_the_command_writes_a_lesson_for_a_query_or_any_image(small_places, tmp_path, capsys):
    where = [f"--{name}={getattr(small_places, name)}" for name in ("data", "weights", "memory")]
    out = tmp_path / "class" / "lesson.html"
    assert main(["lesson", "--query", "query/0003_c1_f0000002.png", "--out", str(out), "-k", "3", *where]) == 0
    assert "ten steps on query/0003_c1_f0000002.png" in capsys.readouterr().out
    assert "right person" in out.read_text(encoding="utf-8")
    other = tmp_path / "any.png"
    other.write_bytes((small_places.data / "bounding_box_test" / "0002_c2_f0000001.png").read_bytes())
    assert main(["lesson", "--query", str(other), "--out", str(out), *where]) == 0
    assert "The identity in this image is unknown" in out.read_text(encoding="utf-8")
    assert main(["lesson", "--query", str(tmp_path / "none.png"), "--out", str(out), *where]) == 2
    assert "none.png" in capsys.readouterr().err


@pytest.mark.browser
def test_the_file_works_offline_with_keys_and_reveals_answers(browser, page_and_steps, tmp_path):
    file = tmp_path / "lesson.html"
    file.write_text(page_and_steps[0], encoding="utf-8")
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 720})
    page, texts = context.new_page(), []
    page.on("console", lambda message: texts.append(message.text))
    page.on("pageerror", lambda error: texts.append(str(error)))
    page.on("request", lambda request: texts.append(request.url) if not request.url.startswith("data:") else None)
    page.goto(file.as_uri())
    assert page.locator(".step:visible").count() == 1
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.locator("#transport").is_visible()
    # The script computes the plan of the toy from potentials. It must equal the plan computed here.
    page.locator(".epsilon input").fill(str(len(toy().runs) - 1))
    run = toy().runs[-1]
    last = run.snapshots[-1]
    plan = np.exp((last.f[:, None] + last.g[None, :] - toy().cost) / run.epsilon)
    shown = [float(text) for text in page.locator(".toy .mass b").all_inner_texts()]
    assert shown == pytest.approx(plan.ravel().tolist(), abs=6e-4)
    page.keyboard.press("ArrowLeft")  # A focused slider must take the key.
    assert page.locator("#transport").is_visible()
    page.locator("#transport h2").click()
    page.evaluate("document.activeElement.blur()")
    step = page_and_steps[1][5]
    assert not page.get_by_text(step.quiz.reveal).is_visible()
    page.keyboard.press("1")
    assert page.get_by_text(step.quiz.reveal).is_visible()
    assert page.locator("#transport button.right").inner_text() == f"{step.quiz.choices[step.quiz.answer]} ✓"
    page.keyboard.press("ArrowLeft")
    assert page.locator("#weights").is_visible()
    assert page.locator("math:visible").first.bounding_box()["height"] > 20
    assert texts == [file.as_uri()]
    context.close()
