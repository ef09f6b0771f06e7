"""The source code follows the rules of SECURITY.md."""

import ast
import re
import tomllib
from pathlib import Path

from streamlit import config

from fpc_core.data.images import MAX_BYTES

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sorted(path for room in ("fpc_core", "app") for path in (ROOT / room).rglob("*.py"))
SCRIPTS = sorted(path for room in ("fpc_core", "app") for path in (ROOT / room).rglob("*.js"))
TEMPLATES = sorted((ROOT / "fpc_core").rglob("*.jinja"))


def calls(path: Path, *names: str) -> list[ast.Call]:
    """Return all calls in a file whose function is written as one of these dotted names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in names]


def where(pattern: str, paths: list[Path]) -> set[str]:
    return {path.name for path in paths if re.search(pattern, path.read_text(encoding="utf-8"), re.M)}


def test_torch_load_is_only_in_weight_files_and_runs_no_pickle():
    loads = {path.name: calls(path, "torch.load") for path in PYTHON}
    # state.py reads the state of a training run.
    assert {name for name, found in loads.items() if found} == {"weight_files.py", "state.py"}
    for found in loads.values():
        for call in found:
            assert [ast.unparse(each.value) for each in call.keywords if each.arg == "weights_only"] == ["True"]


def test_no_other_code_reads_pickles_or_runs_text():
    assert where(r"^\s*(import|from) (pickle|cPickle|dill|joblib|shelve|marshal)\b", PYTHON) == set()
    for path in PYTHON:
        assert not calls(path, "eval", "exec", "compile", "os.system", "os.popen", "yaml.load"), path
    assert where(r"allow_pickle\s*=\s*(?!False)", PYTHON) == set()  # numpy defaults to False.


def test_only_decoder_and_app_command_start_processes_without_shell():
    assert where(r"^\s*(import|from) subprocess\b", PYTHON) == {"sandboxed_decode.py", "app.py"}
    assert where(r"shell\s*=", PYTHON) == set()


def test_only_one_module_decodes_images():
    """Other modules open only images in RAM that this program drew."""
    assert where(r"Image\.open\(", PYTHON) == {"images.py", "collect.py", "lesson.py"}
    for name in ("collect.py", "lesson.py"):
        (call,) = calls(ROOT / "fpc_core" / "report" / name, "Image.open")
        assert ast.unparse(call) == "Image.open(file)"  # `file` has the output of savefig.
        assert "file = io.BytesIO()" in (ROOT / "fpc_core" / "report" / name).read_text(encoding="utf-8")
    assert where(r"cv2\.imread|imageio|skimage\.io|torchvision\.io|read_image\(", PYTHON) == set()


def test_only_the_styles_of_layout_are_given_as_markup():
    assert where(r"unsafe_allow_html|unsafe_allow_javascript|components\.v1", PYTHON) == set()
    assert where(r"st\.html\(|st\.iframe\(", PYTHON) == {"layout.py"}
    for call in calls(ROOT / "app" / "layout.py", "st.html"):
        assert ast.unparse(call.args[0]) in {f"_STYLES / '{name}.css'" for name in ("page", "presenter", "explore")}


def test_no_script_of_a_component_writes_markup_or_runs_text():
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|DOMParser|document\.write|srcdoc"
        r"|\beval\(|new Function|setTimeout\(\s*[\"'`]|setInterval\(\s*[\"'`]|javascript:|import\("
    )
    assert where(forbidden, SCRIPTS) == set()
    assert len(SCRIPTS) > 10


def test_components_are_given_their_markup_as_constants():
    """The `html=` of a component is a constant without inserted names or numbers."""
    for path in PYTHON:
        for call in calls(path, "st.components.v2.component"):
            for each in call.keywords:
                if each.arg == "html":
                    assert isinstance(each.value, ast.Constant) or ast.unparse(each.value).startswith("source("), path


def test_html_files_escape_all_text_from_outside():
    assert where(r"autoescape=True", [ROOT / "fpc_core" / "report" / "metadata.py"]) == {"metadata.py"}
    assert where(r"\|\s*safe\b|autoescape\s+false", TEMPLATES) == set()
    wrapped = {ast.unparse(call.args[0]) for path in PYTHON for call in calls(path, "Markup")}
    assert wrapped == {
        "STYLE",
        "f'{SCRIPT}\\n{_PAGING}'",  # Both are files of this project.
        "convert(latex, display='block')",  # The equations of the lesson are constants.
        "re.sub('\\\\*\\\\*(.+?)\\\\*\\\\*', '<b>\\\\1</b>', str(escape(text)))",
        "json.dumps(data).replace('<', '\\\\u003c')",
    }


def test_the_server_is_set_up_as_the_threat_model_says():
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    server = settings["server"]
    assert server["enableXsrfProtection"] is True
    assert server["enableCORS"] is True
    assert server["enableStaticServing"] is False
    assert server["enableAgentApi"] is False
    assert server["maxUploadSize"] == MAX_BYTES // 1_000_000 == 20
    assert server["maxMessageSize"] == 50
    assert settings["client"]["showErrorDetails"] == "none"
    assert settings["browser"]["gatherUsageStats"] is False
    known = set(config.get_config_options())
    assert {f"server.{name}" for name in server} <= known


def test_every_test_in_the_threat_model_exists():
    named = set(re.findall(r"`(test_\w+|tests/[\w/]+\.py)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)\(", sources, re.M)) | {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")
    }
    assert len(named) > 40
    assert named - there == set()
