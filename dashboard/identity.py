"""Who looks at a page, and whether they may decide; if not, why. The database decides again."""

from __future__ import annotations

import getpass
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from learning.errors import ConfigError
from learning.settings import Settings

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
DECIDERS = ("approver", "admin")
LOGIN_FILE = "login.toml"  # in the home folder; Streamlit's own secrets.toml holds the same


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks.

    Attributes:
        name: As decisions are signed.
        role: Of the list of people; ``owner`` where nobody is listed and the page is local.
        may_decide: Whether actions are offered.
        may_look: Whether anything is shown.
        why_not: Why not, in one sentence.
        is_logged_in: Whether an identity provider vouches for the name.
    """

    name: str
    role: str
    may_decide: bool
    may_look: bool = True
    why_not: str | None = None
    is_logged_in: bool = False


def viewer_of(settings: Settings, people: Mapping[str, str]) -> Viewer:
    """Return who looks now; asked anew at every run of a page.

    Where a login is set up nobody decides without one, and only who is listed sees anything.
    Without a login a local page belongs to the user of this machine, and one that others reach
    is read-only.
    """
    if login_is_set_up():
        return _logged_in(people)
    address = st.get_option("server.address") or settings.host
    if address not in LOCAL_HOSTS:
        why = (
            f"Read-only: this page listens on {address} and no login is set up. "
            f"Put [auth] into {LOGIN_FILE} in the home folder, or listen on 127.0.0.1."
        )
        return Viewer("visitor", "none", may_decide=False, why_not=why)
    name = getpass.getuser()
    if not people:
        return Viewer(name, "owner", may_decide=True)
    return _listed(name, people.get(name), is_logged_in=False)


def _logged_in(people: Mapping[str, str]) -> Viewer:
    name = identity(dict(st.user), now=time.time())
    if name is None:
        return Viewer("visitor", "none", False, may_look=False, why_not="Log in to see anything.")
    if not people:
        why = f"Read-only: nobody is listed. ./run people add {name} --role admin"
        return Viewer(name, "none", False, why_not=why, is_logged_in=True)
    if name not in people:
        why = f"{name} is not listed: an admin adds people with ./run people add."
        return Viewer(name, "none", False, may_look=False, why_not=why, is_logged_in=True)
    return _listed(name, people[name], is_logged_in=True)


def _listed(name: str, role: str | None, *, is_logged_in: bool) -> Viewer:
    if role in DECIDERS:
        return Viewer(name, str(role), may_decide=True, is_logged_in=is_logged_in)
    why = f"Read-only: {name} has the role {role or 'none'}; deciding takes approver."
    return Viewer(name, role or "none", False, why_not=why, is_logged_in=is_logged_in)


def identity(claims: Mapping[str, Any], *, now: float) -> str | None:
    """Return the name that an identity provider vouches for; None where it vouches for none.

    Anyone may call themselves anything, so the display name is none; an address counts unless
    the provider says that it was not verified; else it is the provider's own identifier.

    Args:
        claims: Of the identity token.
        now: Seconds since 1970: a token that has run out vouches for nobody.

    Examples:
        >>> identity({"is_logged_in": True, "email": "ann@x.org", "sub": "7"}, now=0)
        'ann@x.org'
        >>> identity({"is_logged_in": True, "email": "ann@x.org", "email_verified": False,
        ...           "sub": "7"}, now=0)
        '7'
        >>> identity({"is_logged_in": True, "email": "ann@x.org", "exp": 5}, now=6) is None
        True
        >>> identity({"is_logged_in": True, "name": "Ann"}, now=0) is None
        True
    """
    if not claims.get("is_logged_in"):
        return None
    expires = claims.get("exp")
    if expires is not None and float(expires) <= now:
        return None
    email = claims.get("email")
    if email and claims.get("email_verified") is not False:
        return str(email)
    subject = claims.get("sub")
    return str(subject) if subject else None


def login_is_set_up() -> bool:
    """Say whether pages ask for a login."""
    return st.secrets.load_if_toml_exists() and "auth" in st.secrets


def login_secrets(home: Path) -> dict[str, Any]:
    """Return what the login file of a home folder holds; nothing where there is none.

    Raises:
        ConfigError: If it cannot be read: a page must not lose its login without a word.
    """
    path = home / LOGIN_FILE
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def can_log_in() -> bool:
    """Say whether what logging in needs is installed."""
    from importlib.util import find_spec

    return find_spec("authlib") is not None and find_spec("httpx") is not None
