"""Keep details of the host from visitors that Streamlit itself would tell them.

Asked for `load_git_info`, which any visitor can send, Streamlit answers with the repository, the branch and the names
of untracked and changed files; every page begins with the full path of the main script. No setting of Streamlit 1.67
turns either off, so two of its methods are replaced. Both are private: where a later version lacks one, starting the
server fails, and tests/app/server/test_host_details.py says what to look at.
"""

from __future__ import annotations

from functools import wraps
from pathlib import PurePath
from typing import Any

from streamlit.runtime.app_session import AppSession

GIT, NEW_SESSION = "_handle_git_information_request", "_create_new_session_message"


def hide() -> None:
    """Replace the two methods. Further calls do nothing.

    Raises:
        RuntimeError: Where this version of Streamlit lacks one of them, which may then answer in another place.
    """
    for name in (GIT, NEW_SESSION):
        if not callable(getattr(AppSession, name, None)):
            raise RuntimeError(
                f"this version of Streamlit has no AppSession.{name}; install the one of requirements.txt, or see "
                "app/server/host_details.py"
            )
    if getattr(AppSession, GIT) is not _no_answer:
        setattr(AppSession, NEW_SESSION, _without_folder(getattr(AppSession, NEW_SESSION)))
        setattr(AppSession, GIT, _no_answer)


def _no_answer(session: AppSession) -> None:
    """In place of what asks Git; the browser asks for the menu of developers alone, which is not shown."""


def _without_folder(create: Any) -> Any:
    @wraps(create)
    def create_without_folder(*args: Any, **kwargs: Any) -> Any:
        message = create(*args, **kwargs)
        message.new_session.main_script_path = PurePath(message.new_session.main_script_path).name
        return message

    return create_without_folder
