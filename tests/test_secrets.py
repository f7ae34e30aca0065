"""Passwords stay out of what is printed and written, however they were given."""

import pytest

from seqmodels.command import carried_out, command
from seqmodels.errors import ConfigError, UserError
from seqmodels.secrets import shown_url, without_secrets

URLS = (
    "postgresql://me:sesame@host/x",
    "postgresql+psycopg://me:sesame@host:5432/x?sslmode=require",
    "postgresql://me:a@sesame@host/x",
    "postgresql://me:a/sesame@host/x",
    "postgresql://me:a?sesame@host/x",
    "postgresql://me:a:sesame#b@host/x",
    "postgresql://:sesame@host/x",
    "postgresql:me:sesame@host/x",
    "mysql://me:%73esame@host/x",
    "postgresql://host/x?user=me&password=sesame",
    "postgresql://host/x?PASSWORD=sesame&sslmode=require",
    "postgresql://host/x?p%61ssword=sesame",
    "postgresql://host/x?sslpassword=sesame",
    "mysql://host/x?passwd=sesame",
    "mssql://host/x?PWD=sesame",
    "https://host/x?access_token=sesame",
    "https://host/x?api_key=sesame",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3D%7BX%7D%3BPWD%3Dsesame",
    "mssql+pyodbc://host/x?a=DRIVER={X};PWD=sesame",
)


@pytest.mark.parametrize("url", URLS)
def test_no_form_of_a_password_is_shown(url):
    for words in (["--storage", url], [f"--storage={url}"], ["-storage", url], [f"-storage={url}"]):
        with carried_out(["sweep.py", *words, "--workdir=a@b"]):
            shown = command()
        assert "esame" not in shown
        assert "***" in shown
        assert "--workdir=a@b" in shown
    for error in (UserError, ConfigError):
        assert "esame" not in str(error(f"no answer from {url}: try again"))
        assert str(error(f"no answer from {url}: try again")).endswith(" try again")
    assert "esame" not in shown_url(url)


def test_a_password_with_a_space_is_not_shown():
    assert shown_url("postgresql://me:open sesame\n@host/x") == "postgresql://me:***@host/x"
    assert (
        shown_url("postgresql://host/x?password=open sesame") == "postgresql://host/x?password=***"
    )


@pytest.mark.parametrize(
    "text",
    [
        "python sweep.py --config=configs/recall.py:mixer=lru,length=5 --config.model.width=8",
        "sqlite:////home/a:b@c/x.sqlite3",
        "postgresql://me@host:5432/x?sslmode=require",
        "a@b: no such user",
    ],
)
def test_what_is_not_secret_is_shown(text):
    assert without_secrets(text) == text
