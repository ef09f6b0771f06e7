"""Choose the named queries of a rendered set by a fixed rule: `PYTHONPATH=. python assets/source/choose_examples.py DATA`.

Every query is classified by the stage of its search that found or lost the right person, as on the
Atlas page. For each story below, the first query in its order is chosen that belongs to its class and whose identity no
earlier story shows. The rule was defined on the validation identities of the training set, before the test set was
searched.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fpc_core.config import QuerySettings
from fpc_core.data.ground_truth import occlusions, true_masks
from fpc_core.evaluation.engine.runner import run_with_store
from fpc_core.evaluation.failure_analysis.cases import Outcome, QueryOutcome, classify
from fpc_core.evaluation.failure_analysis.task import AtlasTask
from fpc_core.workspace import Places, Workspace, open_workspace

TITLES = {
    "hedge": "Behind a hedge",
    "car": "Behind a car",
    "board": "Behind a board",
    "pole": "Behind a pole",
    "bollard": "Behind a bollard",
    "bicycle": "Behind a bicycle",
    "railing": "Behind a railing",
    "umbrella": "Under an umbrella",
    "pedestrian": "Two people",
}


@dataclass(frozen=True)
class Story:
    """What an example shows.

    Attributes:
        text: The story in a sentence.
        accepts: Function that returns whether a query is an example of the story.
        order: Sort key by which the first query is chosen; ties go to the first path.
    """

    text: str
    accepts: Callable[[QueryOutcome], bool]
    order: Callable[[QueryOutcome], float]


def _found(case: QueryOutcome, *occluders: str) -> bool:
    enough = case.survived is not None and case.survived > 0.9
    return classify(case) is Outcome.RIGHT and case.occluder in occluders and enough


def _of_class(outcome: Outcome) -> Callable[[QueryOutcome], bool]:
    return lambda case: classify(case) is outcome


def _visible(case: QueryOutcome) -> float:
    return 1.0 if case.visible is None else case.visible


def _gain(case: QueryOutcome) -> float:
    return case.consolidated.average_precision - case.distance.average_precision


STORIES = (
    Story("The occluder is dropped and the person is found.", lambda case: _found(case, "hedge", "car", "board"), _visible),
    Story("The pedestrian in front is dropped and the right person is found.", lambda case: _found(case, "pedestrian"), _visible),
    Story("Patch matching corrects a wrong first hit.", _of_class(Outcome.TRANSPORT), lambda case: -case.consolidated.average_precision),
    Story("Consolidation corrects a wrong first hit.", _of_class(Outcome.CONSOLIDATION), lambda case: -_gain(case)),
    Story("Consolidation replaces a right first hit by a wrong one.", _of_class(Outcome.BROKEN), _gain),
)


def classified(workspace: Workspace) -> list[QueryOutcome]:
    """Classify all queries at the default settings of the dataset."""
    dataset = workspace.dataset
    settings = QuerySettings(neighbors=dataset.neighbors, shortlist=dataset.shortlist)
    task = AtlasTask(workspace.retriever, dataset, settings, true_masks(dataset), occlusions(dataset))
    known = run_with_store(task.work, None).known
    return [case for case, _ in task.cases_with_pairs(known)]


def examples(cases: list[QueryOutcome]) -> list[dict[str, str]]:
    """Return the entries of `examples` in dataset.json; a story without a fitting query is left out."""
    entries: list[dict[str, str]] = []
    identities: set[int] = set()
    for story in STORIES:
        fitting = [case for case in cases if story.accepts(case) and case.identity not in identities]
        if not fitting:
            print(f"no query for: {story.text}")
            continue
        case = min(fitting, key=lambda case: (story.order(case), case.path.as_posix()))
        identities.add(case.identity)
        title = TITLES[case.occluder]
        number = sum(entry["title"].startswith(title) for entry in entries)
        entries.append({"title": title + f" ({number + 1})" * bool(number), "query": case.path.as_posix(), "story": story.text})
    return entries


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose the named queries of a rendered set.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, default=Places().weights)
    parser.add_argument("--memory", type=Path, default=Places().memory)
    args = parser.parse_args()
    file = args.data / "dataset.json"
    label = json.loads(file.read_text())
    entries = examples(classified(open_workspace(Places(args.data, args.weights, args.memory), "cpu")))
    file.write_text(json.dumps(label | {"opening": entries[0]["query"], "examples": entries}, indent=2) + "\n")
    for entry in entries:
        print(entry)


if __name__ == "__main__":
    main()
