"""The pages, one file each, run by `st.navigation` in streamlit_app.py."""
