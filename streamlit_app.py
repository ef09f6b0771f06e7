"""Entry point of the app: page setup and navigation. Start it with `streamlit run streamlit_app.py`.

At startup `streamlit run` imports this file and uses its `server`. For every visitor it then runs the file as a script.
"""

import streamlit as st


def show() -> None:
    """Configure Streamlit and the navigation, then run the page that the visitor requests."""
    from app.layout import ICON, inject_page_css
    from app.public_mode import config_error, is_public
    from app.server.shutdown import exit_soon_after_stop
    from app.session import pending_release
    from app.ui.navigation import run_with_navigation

    st.set_page_config(page_title="FPC Explorer", page_icon=ICON, layout="wide")
    inject_page_css()
    exit_soon_after_stop()
    if error := config_error():
        st.error(error, icon=":material/lock:")
        st.stop()
    data = "app/pages/data_public.py" if is_public() else "app/pages/data.py"
    explore = st.Page("app/pages/explore.py", title="Explore", icon=":material/person_search:")
    pages = [
        explore,
        st.Page("app/pages/learn.py", title="Learn", icon=":material/school:"),
        st.Page("app/pages/sweep.py", title="Sweep", icon=":material/grid_on:"),
        st.Page("app/pages/evaluate.py", title="Evaluate", icon=":material/leaderboard:"),
        st.Page("app/pages/atlas.py", title="Atlas", icon=":material/travel_explore:"),
        st.Page("app/pages/lab.py", title="Lab", icon=":material/science:"),
        st.Page("app/pages/compare.py", title="Compare", icon=":material/compare:"),
        st.Page("app/pages/figures.py", title="Figures", icon=":material/image:"),
        st.Page(data, title="Data", url_path="data", icon=":material/database:"),
    ]
    page = st.navigation(pages, position="hidden")
    pending_release.record_page()
    if page != explore:
        pending_release.clear_pending()  # Only Explore responds to released sliders.
    run_with_navigation(pages, page)


if __name__ == "__main__":
    show()
else:  # `streamlit run` imports the file to start the server; no visitor is connected yet.
    from collections.abc import AsyncIterator
    from contextlib import asynccontextmanager

    from app.preload import start_preloading
    from app.server import host_details, log_limits

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        """Preload what the first visitor needs, and write the log's summary at shutdown."""
        start_preloading()
        async with log_limits.write_summary_at_shutdown(app):
            yield

    log_limits.install()
    host_details.hide_host_details()
    server = st.App(__file__, lifespan=lifespan)
