"""Write docs/glossary.md from `fpc_core.glossary`: `python -m docs.make_glossary`."""

from pathlib import Path

from fpc_core.glossary import GLOSSARY

PAGE = Path(__file__).parent / "glossary.md"


def glossary_page() -> str:
    """Return the page as Markdown, one row per term."""
    rows = "\n".join(f"| {term} | {meaning} |" for term, meaning in GLOSSARY.items())
    return (
        "# Glossary\n\nThe terms that the app, the command line and the docs use. "
        "Made from `fpc_core/glossary.py` by `python -m docs.make_glossary`.\n\n"
        f"| term | meaning |\n|---|---|\n{rows}\n"
    )


if __name__ == "__main__":
    PAGE.write_text(glossary_page(), encoding="utf-8")
