"""Jobs: the header of the page, which says how things stand."""

from __future__ import annotations

from dashboard import controls


def show() -> None:
    """Draw the page."""
    controls.open_page("Jobs")


if __name__ == "__main__":
    show()
