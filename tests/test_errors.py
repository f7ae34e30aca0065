"""Messages that a user sees: one line, however long and strange what they cite."""

import pytest

from seqmodels.errors import LONGEST, ConfigError, UserError


@pytest.mark.parametrize("kind", [UserError, ConfigError])
@pytest.mark.parametrize("cited", ["a\nb", "a\r\x1b[31mb", "\udcff", "a\0b", "\u2028"])
def test_a_message_is_one_line_of_what_can_be_printed(kind, cited):
    message = str(kind(f"model.{cited}=1 is never read"))
    assert message.isprintable()
    assert message.startswith("model.")
    assert message.endswith("=1 is never read")
    assert str(UserError(message)) == message, "also where another message cites it"
    assert UserError(message)._render_traceback_() == [f"UserError: {message}"], "in a notebook"


def test_of_a_long_message_the_ends_are_kept():
    for size in (LONGEST - 10, LONGEST, LONGEST + 1, 10**6):
        message = str(UserError(f"--prompt={'x' * (size - 27)}: write less of it"))
        assert len(message) == min(size, LONGEST)
        assert message.startswith("--prompt=x")
        assert message.endswith("x: write less of it")
