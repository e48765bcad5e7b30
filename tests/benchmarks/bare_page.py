"""The content of the Overview without anything of ours: what Streamlit alone costs.

Five metrics, a line with its band, a heat map with the numbers in its cells, a table of eight
rows; a filter, a dialog and a button that answers by a toast. Plain ``streamlit run``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

rng = np.random.default_rng(1)
st.set_page_config(page_title="Bare page", layout="wide")
st.title("Bare page")
period = st.sidebar.segmented_control(
    "Period", ["all", "90 d", "30 d", "7 d"], default="all", key="period"
)
for column, i in zip(st.columns(5), range(5), strict=True):
    column.metric(f"Number {i} of {period}", f"{rng.normal():+.2f} R", "of 100 trades")
left, right = st.columns([1, 1.25])
days = np.arange(200)
line = np.cumsum(rng.normal(0.1, 1, 200))
band = go.Figure(
    [
        go.Scatter(x=days, y=line - 5, line_width=0),
        go.Scatter(x=days, y=line + 5, line_width=0, fill="tonexty"),
        go.Scatter(x=days, y=line),
    ]
)
left.plotly_chart(band, key="band")
cells = rng.normal(0, 0.3, (8, 7))
right.plotly_chart(go.Figure(go.Heatmap(z=cells, text=cells.round(2), texttemplate="%{text}")))
st.dataframe(pd.DataFrame(rng.normal(size=(8, 9)), columns=[f"column {i}" for i in range(9)]))


@st.dialog("Confirm")
def confirm() -> None:
    reason = st.text_input("Reason")
    if st.button("Confirm now"):
        st.session_state["said"] = reason
        st.rerun()


if st.button("Ask"):
    confirm()
if "said" in st.session_state:
    st.toast(f"Confirmed: {st.session_state.pop('said')}")
