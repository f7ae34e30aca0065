"""What 1,500 of pathfinder's pictures show, of 10,000."""

import pytest

from tests.tasks.test_pathfinder import (
    check_labels,
    check_that_nothing_about_the_circles_tells,
    small_pictures,
)


@pytest.fixture(scope="module")
def many():
    return small_pictures(10_000)


def test_labels_are_what_10000_pictures_show(many):
    check_labels(many)


def test_what_lies_about_the_circles_does_not_tell(many):
    check_that_nothing_about_the_circles_tells(many)
