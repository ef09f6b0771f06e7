"""Helpers for browser tests. The fixtures `browser`, `url` and `page` are in conftest.py."""

from contextlib import contextmanager

IDLE_MS = 350  # Time that a page must be idle, longer than the app's pauses between a key press and a run.
IDLE_FRAMES = 12  # Number of frames that an idle page must draw; a page that draws a lot has fewer in that time.
UNANSWERED_MS = 10_000  # Time after which Streamlit has dropped a message without answering, as for a removed fragment.
TRACK_MESSAGES = """if (!("fpcUnanswered" in window)) {
  window.fpcUnanswered = 0;  // Time of the last message to the server, or 0 once the server has answered.
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (message) {
    if (!this.fpcTracked) this.addEventListener("message", () => { window.fpcUnanswered = 0; });
    this.fpcTracked = true;
    window.fpcUnanswered = performance.now();
    return send.call(this, message);
  };
}"""
# Whether the page has been idle for a while: the server has answered, no script runs, and the page shows the result of
# the last released slider (until then it contains the component `paint_ack`).
IS_IDLE = f"""() => {{
  const now = performance.now(), app = document.querySelector(".stApp");
  const unanswered = fpcUnanswered && now - fpcUnanswered < {UNANSWERED_MS};
  const pending = unanswered || document.querySelector(".st-key-paint-ack");
  const busy = pending || app.dataset.testScriptState !== "notRunning";
  if (busy || window.fpcIdle === undefined) window.fpcIdle = {{ since: now, frames: 0 }};
  fpcIdle.frames += 1;
  return now - fpcIdle.since > {IDLE_MS} && fpcIdle.frames > {IDLE_FRAMES};
}}"""
ANSWERED = "['gamma', 'alpha', 'k'].every((name) => fpcLive.view[name] === fpcLive.answer[name])"


def visit(page, address):
    """Open an address of the app, so that `settle` can be used afterwards."""
    page.set_default_timeout(60_000)
    page.add_init_script(TRACK_MESSAGES)
    page.goto(address)


def console_errors(page):
    """Return a list to which all later errors of the page's console and scripts are appended."""
    errors = []

    def note(message):
        if message.type == "error":
            errors.append(f"{message.text} {message.location.get('url', '')}")

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return errors


def settle(page):
    """Wait until the page is idle."""
    page.evaluate("() => { delete window.fpcIdle; }")
    page.wait_for_function(IS_IDLE)


def wait_for_frame(page):
    """Wait until components have drawn the last change, which takes until the next frame."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def open_tab(page, name):
    """Open a tab of the details on Explore."""
    page.get_by_role("tab", name=name, exact=True).click()
    settle(page)


def until(page, holds):
    """Wait until a condition holds, for at most half a minute. The caller checks the condition."""
    for _ in range(600):
        if holds():
            return
        page.wait_for_timeout(50)


def open_demo(page, url):
    """Open the Explore page and wait for its rankings."""
    visit(page, url)
    page.locator("[data-card^='final/']").first.wait_for()
    settle(page)


def order(page, strip):
    """Return the ids of the cards of a strip, in order."""
    return page.locator(f"[data-card^='{strip}/']").evaluate_all("cards => cards.map(card => card.dataset.card)")


def captions(page, strip):
    return page.locator(f"[data-card^='{strip}/'] .caption").all_inner_texts()


def slider(page, name):
    """Return a live slider by its label."""
    return page.locator(".st-key-sliders").get_by_role("slider", name=name)


def move(page, name, key, times):
    """Move a live slider by keyboard and wait for the server's answer.

    Args:
        page: Page with the slider.
        name: Label of the slider.
        key: Key to press.
        times: Number of key presses.
    """
    thumb = slider(page, name)
    thumb.focus()
    for _ in range(times):
        thumb.press(key)
    page.wait_for_timeout(200)  # The value is sent after a short pause without key presses.
    page.wait_for_function(ANSWERED)
    settle(page)


@contextmanager
def dragging(page, name, share):
    """Drag a slider's thumb to this share of its track, and release it at the end of the `with` block."""
    box = slider(page, name).bounding_box()
    now, low, high = slider(page, name).evaluate("input => [input.valueAsNumber, +input.min, +input.max]")
    y, thumb = box["y"] + box["height"] / 2, 16  # The thumb's centre stays half its width inside the track.

    def x(part):
        return box["x"] + thumb / 2 + part * (box["width"] - thumb)

    page.mouse.move(x((now - low) / (high - low)), y)
    page.mouse.down()
    page.mouse.move(x(share), y, steps=25)
    wait_for_frame(page)
    yield
    page.mouse.up()
    page.wait_for_function(ANSWERED)
    settle(page)
