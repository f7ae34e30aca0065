"""Recurrences, and mixers of them, whose positions several devices share, on many meshes."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.training.sharding import make_mesh
from tests.mixers.variants import CASES as VARIANTS
from tests.mixers.variants import WIDTH, build, normal, parameters
from tests.ops.across import check, gathered, place, program
from tests.ops.recurrences_across import CASES, ROWS, function

MESHES = {"8": (8, 1), "2 by 4": (4, 1), "2 by 2 by 2": (2, 2)}
EVERY = [(name, form) for name, case in CASES.items() for form in case.forms]
EXACT = {"inputs", "x", "query", "key", "value"}
"""What may come in a narrower type than states and decays."""
mesh_of = cache(lambda name: make_mesh(8, *MESHES[name]))


def arguments(name: str, form: str | None, length: int, padded: bool = True) -> dict:
    made = CASES[name].arguments(length)
    return made | {"valid": made["valid"] if padded and form != "products" else None}


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize(("name", "form"), EVERY)
def test_each_form_makes_what_one_device_does(name, form, mesh):
    given = arguments(name, form, 80)
    text = check(function(name, form), given, mesh_of(mesh), (ROWS, 80), 1e-5)
    assert gathered(text, 80) == gathered(text, 240) == []


@pytest.mark.parametrize("length", [8, 24, 1, 9, 130, 4096])
@pytest.mark.parametrize("name", CASES)
def test_lengths_that_parts_divide_and_others(name, length):
    given = arguments(name, None, length, padded=length != 24)
    check(function(name, None), given, mesh_of("8"), (ROWS, length), 1e-5)


@pytest.mark.parametrize("name", CASES)
def test_half_as_many_digits(name):
    given = arguments(name, None, 80)
    narrow = {k: given[k] for k in EXACT & given.keys()}
    given |= jax.tree.map(lambda x: x.astype(jnp.bfloat16), narrow)
    check(function(name, None), given, mesh_of("2 by 4"), (ROWS, 80), 0.02)


@pytest.mark.parametrize("rows", [1, 3, 4, 12])
@pytest.mark.parametrize("name", ["lstm", "slstm", "real", "delta"])
def test_rows_that_data_and_micro_batches_divide_and_others(name, rows):
    given = arguments(name, None, 32)

    def repeated(x):
        return np.concatenate([x * (1 - 0.01 * i) if x.dtype != bool else x for i in range(6)])

    shared = {"weights": given.pop("weights")} if "weights" in given else {}
    given = jax.tree.map(lambda x: repeated(x)[:rows] if x.shape[0] == ROWS else x, given)
    check(function(name, None), given | shared, mesh_of("2 by 4"), (rows, 32), 1e-5)


OTHERS = ("attention", "convolution", "temporal_block", "neighbourhood_attention")
OTHERS += ("long_convolution", "hyena")


def is_recurrent(name: str) -> bool:
    kind, settings = VARIANTS[name]
    return kind not in OTHERS and settings.get("mixer", {}).get("kind") not in OTHERS


@cache
def mixer(name: str):
    def run(given):
        return build(name).call(given["params"], given["x"], given["valid"])

    return run


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("name", [name for name in VARIANTS if is_recurrent(name)])
def test_mixers_make_what_they_do_on_one_device(name, mesh):
    valid = np.arange(128)[None] < np.array([[128], [90]])
    given = {"params": parameters(name), "x": normal((ROWS, 128, WIDTH)), "valid": valid}
    check(mixer(name), given, mesh_of(mesh), (ROWS, 128), 1e-5)


LONG = 65_536
A_KIND = list({VARIANTS[name][0]: name for name in VARIANTS if is_recurrent(name)}.values())


def compiled(name: str, sequence: int, rows: int):
    """A mixer's both passes at a length that none of them is run at here."""
    x = jax.ShapeDtypeStruct((rows, LONG, WIDTH), jnp.float32)
    given = {"params": build(name).shapes, "x": x, "valid": None}
    mesh = make_mesh(sequence, sequence)
    placed = place(given, mesh, rows, LONG, abstract=True)
    return program(mixer(name), mesh).lower(placed).compile()


@pytest.mark.optimised
@pytest.mark.parametrize("name", A_KIND)
def test_temporaries_fall_with_the_parts_and_no_positions_are_gathered(name):
    """Loops work in what becomes the results, so these count too.

    A wavefront has the rest of one micro-batch at a time, of as many as there are parts.
    """
    one, of_eight = (compiled(name, sequence, 8) for sequence in (1, 8))
    used = [program.memory_analysis() for program in (one, of_eight)]
    alone, part = (each.temp_size_in_bytes + each.output_size_in_bytes for each in used)
    assert part <= alone / 5
    assert gathered(of_eight.as_text(), LONG) == []
