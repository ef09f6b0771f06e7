"""Page set-up and the navigation table, nothing else. Start it with: streamlit run streamlit_app.py"""

import streamlit as st

from app.layout import ICON, inject_page_css
from app.public_mode import config_error, is_public
from app.server.shutdown import end_in_time
from app.session import pending_release

st.set_page_config(page_title="FPC Explorer", page_icon=ICON, layout="wide")
inject_page_css()
end_in_time()
if why := config_error():
    st.error(why, icon=":material/lock:")
    st.stop()
data = "app/pages/data_public.py" if is_public() else "app/pages/data.py"
explore = st.Page("app/pages/explore.py", title="Explore", icon=":material/person_search:")
page = st.navigation(
    [
        explore,
        st.Page("app/pages/learn.py", title="Learn", icon=":material/school:"),
        st.Page("app/pages/sweep.py", title="Sweep", icon=":material/grid_on:"),
        st.Page("app/pages/evaluate.py", title="Evaluate", icon=":material/leaderboard:"),
        st.Page("app/pages/atlas.py", title="Atlas", icon=":material/travel_explore:"),
        st.Page("app/pages/lab.py", title="Lab", icon=":material/science:"),
        st.Page("app/pages/compare.py", title="Compare", icon=":material/compare:"),
        st.Page("app/pages/figures.py", title="Figures", icon=":material/image:"),
        st.Page(data, title="Data", url_path="data", icon=":material/database:"),
    ],
    position="top",
)
pending_release.note_page()
if page != explore:
    pending_release.clear_pending()  # a dial let go there is answered there alone
page.run()
