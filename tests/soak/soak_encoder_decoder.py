"""Each mixer by itself as a reader and as a writer, with each way to read a source; more learns."""

import pytest

from tests.test_encoder_decoder import (
    LEARNED,
    READERS,
    WAYS,
    WRITERS,
    all_of,
    build,
    check_learning,
    check_reading,
    check_writing,
    functions,
)


def alone(mixer: dict) -> dict:
    """Two blocks of one mixer."""
    return all_of({"one": mixer}) | {"depth": 2}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("way", WAYS)
def test_writing_token_by_token_equals_one_call(way, writer):
    changes = {"pooling": None} | WAYS[way]
    check_writing(*functions(build(decoder=alone(WRITERS[writer]), **changes)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_written_depends_on_the_source_and_not_on_its_padding(reader, way):
    changes = {"pooling": None} | WAYS[way]
    check_reading(*functions(build(encoder=alone(READERS[reader]), **changes))[:2])


@pytest.mark.parametrize("name", LEARNED)
def test_learns(name):
    check_learning(name)
