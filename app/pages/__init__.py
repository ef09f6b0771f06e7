"""Pages of the app, one file each. `st.navigation` in streamlit_app.py runs them as scripts."""
