"""axe-core finds no serious problem on any page, in the light and dark theme, and the Tab key reaches every control."""

from dataclasses import dataclass

import pytest

from tests.support.browser import settle, visit

pytestmark = pytest.mark.browser

HEIGHT = 6000  # Height of the page in pixels, so that everything is visible. Axe checks no contrast off screen.
SEVERE = ("serious", "critical")
ALSO = ("heading-order",)  # Rules of lower impact whose violations count too.
# Elements that Tab should reach, in all shadow trees.
CONTROLS = """() => {
  const found = [];
  const collect = (root) => {
    for (const element of root.querySelectorAll("*")) {
      if (element.shadowRoot) collect(element.shadowRoot);
      if (element.tabIndex < 0 || element.disabled || element.closest("[inert]")) continue;
      if (!element.checkVisibility({ visibilityProperty: true })) continue;
      if (element.matches("a[href], button, input, select, textarea, summary, [tabindex]")) found.push(element);
    }
  };
  collect(document);
  window.controls = found;
  return found.length;
}"""
# Positions in `controls` of the focused element and, if it is a radio button or pill, of the others in its group. Arrow
# keys move between these.
FOCUSED = """() => {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  const groupOf = (each) => (each?.type === "radio" ? each.name : each?.closest("[data-testid=stButtonGroup]"));
  const group = groupOf(element);
  return controls.flatMap((each, at) => (each === element || (group && groupOf(each) === group) ? [at] : []));
}"""
PAGES = {  # Address, and a text that is shown once the page is complete.
    "Explore": ("", "Final ranking"),
    "Learn": ("learn?step=3", "Try it on your query"),
    "Lab": ("lab", "Which image region matters most"),
    "Sweep": ("sweep?scope=one", "Done: "),
    "Atlas": ("atlas", "Matches outside the shortlist"),
    "Compare": ("compare", "Decoder attention to each neighbour"),
    "Evaluate": ("evaluate", "The paper draws this curve"),
    "Data": ("data", "The arrow shows how"),
    "Figures": ("figures", "See the first query in Explore"),
}


@dataclass(frozen=True)
class Exclusion:
    """A problem in the elements of Streamlit itself, which the app cannot change.

    Attributes:
        rule: Name of the rule of axe.
        selector: CSS selector of the element, which must match the element itself.
        reason: Why the app cannot change it.
    """

    rule: str
    selector: str
    reason: str


EXCLUSIONS = (
    Exclusion(
        "color-contrast",
        '[data-testid="stWidgetLabel"][disabled] p',
        "WCAG exempts the label of a disabled field. Streamlit does not link it to the field, so axe reports it.",
    ),
)


def excluded(page, rule, node):
    """Return whether an exclusion covers this element of a violation."""
    path = [each if isinstance(each, str) else each[-1] for each in node["target"]]  # One selector per shadow tree.
    element = page.locator(" >> ".join(path)).first
    selectors = [each.selector for each in EXCLUSIONS if each.rule == rule]
    return any(element.evaluate("(element, selector) => element.matches(selector)", each) for each in selectors)


def severe_problems(page, **options):
    """Run axe and return a text for each element with a serious problem: rule, element and reason."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    return [
        f"{violation['id']} ({violation['impact']}): {node['html']}\n  {node['failureSummary']}"
        for violation in axe.Axe().run(page, options=options).response["violations"]
        if violation["impact"] in SEVERE or violation["id"] in ALSO
        for node in violation["nodes"]
        if not excluded(page, violation["id"], node)
    ]


@pytest.fixture(scope="module", params=PAGES)
def whole(request, browser, url):
    """Return the name of a page, and the page in a window that shows all of it."""
    page = browser.new_page(viewport={"width": 1440, "height": HEIGHT})
    path, last = PAGES[request.param]
    visit(page, f"{url}/{path}")
    page.get_by_text(last).first.wait_for(timeout=240_000)
    job = page.get_by_test_id("stProgress").filter(has_not_text="Step ")  # Learn shows the number of the step.
    job.wait_for(state="detached", timeout=240_000)
    settle(page)
    yield request.param, page
    page.close()


def test_tab_reaches_every_control(whole):
    name, page = whole
    for _ in range(5):
        settle(page)
        count, reached = page.evaluate(CONTROLS), set()
        assert count > 15
        for _ in range(2 * count):
            page.keyboard.press("Tab")
            reached |= set(page.evaluate(FOCUSED))
        if page.evaluate("controls.every((each) => each.isConnected)"):  # Otherwise the page was redrawn.
            break
    missed = page.evaluate("at => at.map((each) => controls[each].outerHTML)", sorted(set(range(count)) - reached))
    assert missed == [], name


def test_axe_finds_nothing_serious_in_light_and_dark(whole):
    name, page = whole
    problems = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(
            "scheme => getComputedStyle(document.querySelector('.stApp')).colorScheme === scheme", arg=scheme
        )
        settle(page)
        options = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}  # Only colours depend on the scheme.
        problems += [f"{name}, {scheme}: {each}" for each in severe_problems(page, **options)]
    assert not problems, "\n".join(problems)
