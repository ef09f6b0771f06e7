"""The Streamlit app: each page reads its controls, makes one call to the core and shows the result."""
