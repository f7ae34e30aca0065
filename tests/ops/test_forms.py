"""How one of an operation's forms is chosen, refused and told."""

import pytest

from seqmodels.errors import ParameterError
from seqmodels.ops.forms import Form, Operation, chosen_forms

DOUBLE = Operation(
    "doubling",
    {
        "kernel": Form(lambda x: ("kernel", 2 * x), platforms=("tpu", "cuda")),
        "even": Form(
            lambda x: ("even", 2 * x),
            refusal=lambda x: f"{x} is odd" if x % 2 else None,
            suits=lambda x: x < 10,
        ),
        "any": Form(lambda x: ("any", 2 * x)),
    },
)


def test_the_first_that_serves_and_suits_is_taken(monkeypatch):
    assert [DOUBLE(x) for x in (4, 5, 12)] == [("even", 8), ("any", 10), ("any", 24)]
    monkeypatch.setattr("seqmodels.ops.forms.platform", lambda: "cuda")
    assert DOUBLE(4) == ("kernel", 8)


def test_one_that_is_named_is_taken_wherever_it_serves():
    assert DOUBLE(12, form="even") == ("even", 24)
    assert DOUBLE(4, form="any") == ("any", 8)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            "evem",
            "form='evem' is no form of doubling; did you mean 'even'? (known: any, even, kernel)",
        ),
        (
            "even",
            "form='even' can't serve this call of doubling: 5 is odd; take 'any', or None to leave "
            "the choice open",
        ),
        (
            "kernel",
            "form='kernel' can't serve this call of doubling: it runs on tpu and cuda, and this is "
            "for cpu; take 'any', or None to leave the choice open",
        ),
    ],
)
def test_one_that_can_not_serve_is_refused_in_one_line(form, message):
    with pytest.raises(ParameterError) as caught:
        DOUBLE(5, form=form)
    assert str(caught.value) == message


def test_what_was_taken_is_told():
    DOUBLE(4)
    with chosen_forms() as outer:
        for x in (4, 6, 5):
            DOUBLE(x)
        with chosen_forms() as inner:
            DOUBLE(12)
    assert outer == {"doubling": ["even", "any"]}
    assert inner == {"doubling": ["any"]}
