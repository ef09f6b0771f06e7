"""Hide details of the host that Streamlit would otherwise send to visitors.

Any visitor can send the request `load_git_info`, and Streamlit returns the repository, the branch and the names of
untracked and changed files. Streamlit also sends the full path of the main script at the start of every page.
Streamlit 1.67 has no setting for either, so this module replaces two private methods. If another version lacks one of
them, the server does not start. To support that version, see tests/app/server/test_host_details.py.
"""

from __future__ import annotations

from functools import wraps
from pathlib import PurePath
from typing import Any

from streamlit.runtime.app_session import AppSession

GIT, NEW_SESSION = "_handle_git_information_request", "_create_new_session_message"


def hide_host_details() -> None:
    """Replace the two methods of Streamlit that send details of the host. Further calls do nothing.

    Raises:
        RuntimeError: This version of Streamlit lacks one of the methods and might send the details elsewhere.
    """
    for name in (GIT, NEW_SESSION):
        if not callable(getattr(AppSession, name, None)):
            raise RuntimeError(
                f"this version of Streamlit has no AppSession.{name}; install the version listed in requirements.txt, "
                "or see app/server/host_details.py"
            )
    if getattr(AppSession, GIT) is not _ignore_request:
        setattr(AppSession, NEW_SESSION, _hide_script_folder(getattr(AppSession, NEW_SESSION)))
        setattr(AppSession, GIT, _ignore_request)


def _ignore_request(session: AppSession) -> None:
    """Ignore the request for Git details. Browsers send it only for the developer menu, which the app hides."""


def _hide_script_folder(create: Any) -> Any:
    @wraps(create)
    def create_without_folder(*args: Any, **kwargs: Any) -> Any:
        message = create(*args, **kwargs)
        message.new_session.main_script_path = PurePath(message.new_session.main_script_path).name
        return message

    return create_without_folder
