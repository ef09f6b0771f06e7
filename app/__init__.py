"""The Streamlit app: pages read controls, make one core call and show the answer."""
