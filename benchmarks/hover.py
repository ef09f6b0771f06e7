"""Measure the delay of hovering in the transport component, in headless Chromium: `python -m benchmarks.hover`.

The component has 128 x 242 patches. Its files are loaded in an empty page without Streamlit, because hovering does not
involve the server. Two times are measured for each hover: `work` is the computing time from the pointer event until the
flows are drawn; `paint` is the time until the browser has finished the frame, including the wait for the next 60 Hz
tick.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from app.components._shared.patch_grid import geometry, parts
from fpc_core.config import ModelConfig
from fpc_core.data.browser_encoding import encode_float32
from tests.support.server import chromium

HOVERS, KEPT = 400, 128
MEASURE = """
(positions) => new Promise((done) => {
  const cells = [...document.querySelectorAll(".cells")];
  const layer = document.querySelector(".stage > canvas:last-of-type");
  const work = [], paint = [];
  const channel = new MessageChannel();
  let began = 0;
  const next = () => {
    if (work.length === positions.length) return done({ work, paint });
    const [side, x, y] = positions[work.length];
    const box = cells[side].getBoundingClientRect();
    began = performance.now();
    const place = { clientX: box.left + x * box.width, clientY: box.top + y * box.height, bubbles: true };
    cells[side].dispatchEvent(new PointerEvent("pointermove", { ...place, pointerType: "mouse" }));
    const spent = performance.now() - began;
    // Requested after the component's own request, so it runs after the drawing in the same frame.
    requestAnimationFrame(() => {
      layer.getContext("2d").getImageData(0, 0, 1, 1);  // Drawing is lazy; reading a pixel completes it.
      work.push(spent + performance.now() - frameStart);
      channel.port2.postMessage(0);
    });
  };
  let frameStart = 0;
  const ask = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (task) => ask((time) => {
    if (frameStart === 0) frameStart = performance.now();
    task(time);
  });
  channel.port1.onmessage = () => {
    paint.push(performance.now() - began);
    frameStart = 0;
    setTimeout(next, 3 + 17 * Math.random());  // Real events arrive at random times between two ticks.
  };
  next();
})
"""


def pair() -> dict[str, Any]:
    """Return the data of a diffuse transport plan, in which every kept patch has a flow to every gallery patch."""
    rng = np.random.default_rng(0)
    patches = ModelConfig(stride=11).patches
    cost = rng.uniform(0.1, 1.2, (KEPT, patches)).astype(np.float32)
    plan = np.exp(-cost / 0.2)
    plan /= plan.sum()
    return {
        "kept": rng.permutation(patches)[:KEPT].tolist(),
        "plan": encode_float32(plan),
        "cost": encode_float32(cost),
        "queryMarginal": encode_float32(plan.sum(1)),
        "galleryMarginal": encode_float32(plan.sum(0)),
        "dEmd": float((plan * cost).sum()),
    }


def main() -> None:
    blank = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    component = parts("transport")
    data = {
        "key": "",
        "row": 0,
        "pair": pair(),
        "pictures": [blank, blank],
        "names": ["query", "gallery"],
        "pin": "",
        "grid": geometry(ModelConfig(stride=11)),
    }
    rng = np.random.default_rng(1)
    where = [
        [int(side), float(x), float(y)]
        for side, x, y in zip(rng.integers(0, 2, HOVERS), *rng.random((2, HOVERS)), strict=True)
    ]
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_content(f"<style>{component['css']}</style><main>{component['html']}</main>")
        page.evaluate(
            """async ([source, data]) => {
              const module = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
              module.default({ data, parentElement: document.querySelector("main"), setTriggerValue() {} });
            }""",
            [component["js"], data],
        )
        page.wait_for_timeout(500)
        times = page.evaluate(MEASURE, where)
        print(f"{HOVERS} hovers, {KEPT} x {ModelConfig(stride=11).patches} patches, Chromium {browser.version}")
        browser.close()
    for name in ("work", "paint"):
        values = np.array(times[name])
        print(f"{name:6} median {np.median(values):5.1f} ms   p95 {np.percentile(values, 95):5.1f} ms")


if __name__ == "__main__":
    main()
