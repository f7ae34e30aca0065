"""What is secret, and how it stays out of all that is written or printed: passwords in URLs."""

import re
from urllib.parse import unquote

HIDDEN = "***"
SECRET = ("pass", "pwd", "secret", "token", "credential", "key", "auth", "odbc_connect")
"""What the name of a secret part of a URL contains."""


def without_secrets(text: str) -> str:
    """A text whose URLs have lost their passwords.

    Of a URL all is secret from the colon behind the user's name to the last ``@``, also where a
    password should have been quoted, and behind ``?``, ``&`` or ``;`` what a name says is one.

    >>> without_secrets("no answer from postgresql://me:a/b@c@host/name?sslmode=on")
    'no answer from postgresql://me:***@host/name?sslmode=on'
    >>> without_secrets("--storage=mysql://host/name?user=me&password=secret")
    '--storage=mysql://host/name?user=me&password=***'
    """
    return _hide(text, r"\S")


def shown_url(url: str) -> str:
    return _hide(url, r"[\s\S]")


def _hide(text: str, any_character: str) -> str:
    user = r"\w://[^\s:@/?]*:|\w:[^\s:@/?]+:"  # also where somebody forgets the slashes
    text = re.sub(rf"({user}){any_character}*(?=@)", rf"\1{HIDDEN}", text)
    return re.sub(
        rf"(?<=[?&;])([^=&;\s]+)=((?:(?!&|;[^=&;\s]+=){any_character})*)",
        lambda found: f"{found[1]}={HIDDEN if _is_secret(found[1]) else found[2]}",
        text,
    )


def _is_secret(name: str) -> bool:
    return any(part in unquote(name).lower() for part in SECRET)
