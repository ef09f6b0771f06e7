"""Steps of browser tests; the fixtures `browser`, `url` and `page` are in conftest.py."""

from contextlib import contextmanager

QUIET = 350  # ms; longer than any pause of ours after a pressed key, when a script begins only then
CALM = 12  # frames; a page with much to draw has few of them in that time
UNHEARD = 10_000  # ms without an answer, after which Streamlit has dropped a message for a fragment that is gone
WATCH = """if (!("fpcUnanswered" in window)) {
  window.fpcUnanswered = 0;  // Time of the last message to the server since which nothing came back.
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (message) {
    if (!this.fpcHeard) this.addEventListener("message", () => { window.fpcUnanswered = 0; });
    this.fpcHeard = true;
    window.fpcUnanswered = performance.now();
    return send.call(this, message);
  };
}"""
# The server has answered, no script runs, the page has followed a dial that was let go (until then it holds an echo),
# and so it was for a while.
RESTS = f"""() => {{
  const now = performance.now(), app = document.querySelector(".stApp");
  const unanswered = fpcUnanswered && now - fpcUnanswered < {UNHEARD};
  const pending = unanswered || document.querySelector(".st-key-paint-ack");
  const busy = pending || app.dataset.testScriptState !== "notRunning";
  if (busy || window.fpcCalm === undefined) window.fpcCalm = {{ since: now, frames: 0 }};
  fpcCalm.frames += 1;
  return now - fpcCalm.since > {QUIET} && fpcCalm.frames > {CALM};
}}"""
ANSWERED = "['gamma', 'alpha', 'k'].every((name) => fpcLive.view[name] === fpcLive.answer[name])"


def visit(page, address):
    """Open an address of the app so that `settle` can tell later when it is idle."""
    page.set_default_timeout(60_000)
    page.add_init_script(WATCH)
    page.goto(address)


def console_errors(page):
    """Return a list to which the errors of the page's console and scripts are added."""
    errors = []

    def note(message):
        if message.type == "error":
            errors.append(f"{message.text} {message.location.get('url', '')}")

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return errors


def settle(page):
    """Wait until the script has run to its end."""
    page.evaluate("() => { delete window.fpcCalm; }")
    page.wait_for_function(RESTS)


def drawn_anew(page):
    """Wait until the last change is drawn, which components do in the next frame."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def open_tab(page, name):
    """Open a tab of the details on Explore."""
    page.get_by_role("tab", name=name, exact=True).click()
    settle(page)


def until(page, holds):
    """Wait until a condition holds, for at most half a minute."""
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
    return page.locator(f"[data-card^='{strip}/']").evaluate_all("cards => cards.map(card => card.dataset.card)")


def captions(page, strip):
    return page.locator(f"[data-card^='{strip}/'] .caption").all_inner_texts()


def dial(page, name):
    return page.locator(".st-key-sliders").get_by_role("slider", name=name)


def move(page, name, key, times):
    """Move a sidebar slider by keyboard and wait for the server's answer."""
    thumb = dial(page, name)
    thumb.focus()
    for _ in range(times):
        thumb.press(key)
    page.wait_for_timeout(200)  # a pressed key counts after a pause
    page.wait_for_function(ANSWERED)
    settle(page)


@contextmanager
def dragging(page, name, share):
    """Hold a slider's thumb dragged to `share` of its track; release it at the end."""
    box = dial(page, name).bounding_box()
    now, low, high = dial(page, name).evaluate("input => [input.valueAsNumber, +input.min, +input.max]")
    y, thumb = box["y"] + box["height"] / 2, 16  # the thumb's centre stays half its width inside the track

    def x(part):
        return box["x"] + thumb / 2 + part * (box["width"] - thumb)

    page.mouse.move(x((now - low) / (high - low)), y)
    page.mouse.down()
    page.mouse.move(x(share), y, steps=25)
    drawn_anew(page)
    yield
    page.mouse.up()
    page.wait_for_function(ANSWERED)
    settle(page)
