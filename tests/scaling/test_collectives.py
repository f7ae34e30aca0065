"""What a compiled program sends between devices, read from its text."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from seqmodels.json_files import convert
from seqmodels.scaling.cell import StoppedError, _compile_for
from seqmodels.scaling.collectives import KINDS, Collective, traffic
from seqmodels.scaling.files import EMPTY, CellFile
from seqmodels.scaling.programs import language_model, model_section
from seqmodels.scaling.targets import MACHINES, Target
from seqmodels.scaling.terminal import cell_line
from seqmodels.training.sharding import make_mesh

NONE = Collective(0, 0, 0)


def test_each_kind_of_a_program_for_eight_devices():
    """A device holds [8, 8] float32, 256 bytes. Groups are of 4 along "sequence", else of 2."""
    mesh = make_mesh(8, sequence=4)

    def exchange(x, w):
        def turn(h, _):
            h = jax.lax.ppermute(h, "sequence", [(i, (i + 1) % 4) for i in range(4)])
            return h @ w, None

        h, _ = jax.lax.scan(turn, x, length=5)
        gathered = jnp.sum(jax.lax.all_gather(h, "sequence"))
        scattered = jnp.sum(jax.lax.psum_scatter(h, "data", tiled=True))
        swapped = jax.lax.all_to_all(h, "sequence", 0, 0, tiled=True)
        return jax.lax.psum(h, ("data", "sequence")) + gathered + scattered + swapped

    spec = P("data", "sequence")
    run = jax.shard_map(exchange, mesh=mesh, in_specs=(spec, P()), out_specs=spec, check_vma=False)
    compiled = jax.jit(run).lower(jnp.ones((16, 32)), jnp.ones((8, 8))).compile()
    found = traffic(compiled.as_text())
    assert found.complete
    assert found.kinds == {
        "collective-permute": Collective(5, 5 * 256, 5 * 256),
        "all-gather": Collective(1, 256, 256 * 3),
        "reduce-scatter": Collective(1, 256, 256 // 2),
        "all-to-all": Collective(1, 256, 256 * 3 // 4),
        "all-reduce": Collective(1, 256, 2 * 256 * 7 // 8),
    }
    assert found.sent == sum(kind.sent for kind in found.kinds.values())


PROGRAM = """HloModule jit_step, is_scheduled=true, num_partitions=16

%add (a: f32[], b: f32[]) -> f32[] {{
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}}

%body (state: (s32[], bf16[8,128])) -> (s32[], bf16[8,128]) {{
  %state = (s32[], bf16[8,128]{{1,0:T(8,128)(2,1)}}) parameter(0)
  %x = bf16[8,128]{{1,0:T(8,128)(2,1)}} get-tuple-element(%state), index=1
  %gather = bf16[32,128]{{1,0:T(8,128)(2,1)S(1)}} all-gather(%x), replica_groups=[4,4]<=[16]
  %i = s32[] get-tuple-element(%state), index=0
  ROOT %after = (s32[], bf16[8,128]{{1,0}}) tuple(%i, %x)
}}

%condition (state: (s32[], bf16[8,128])) -> pred[] {{
  %state = (s32[], bf16[8,128]{{1,0}}) parameter(0)
  ROOT %less = pred[] constant(false)
}}

ENTRY %main (x: bf16[8,128], y: f32[4]) -> f32[4] {{
  %x = bf16[8,128]{{1,0}} parameter(0)
  %y = f32[4]{{0}} parameter(1)
  %zero = s32[] constant(0)
  %state = (s32[], /*index=1*/bf16[8,128]{{1,0}}) tuple(%zero, %x)
  %loop = (s32[], bf16[8,128]{{1,0}}) while(%state), condition=%condition, body=%body{trips}
  %begun = (bf16[8,128]{{1,0}}, bf16[8,128]{{1,0}}, u32[], u32[]) collective-permute-start(/*index=5*/%x), source_target_pairs={{{{0,1}},{{1,0}}}}
  %ended = bf16[8,128]{{1,0}} collective-permute-done(%begun)
  ROOT %reduced = f32[4]{{0}} all-reduce({operand}), replica_groups={groups}, to_apply=%add
}}
"""  # noqa: E501
KNOWN = ', backend_config={"known_trip_count":{"n":"3"}}'


@pytest.mark.parametrize("operand", ["%y", "f32[4]{0} %y"])
@pytest.mark.parametrize(
    ("groups", "devices"),
    [
        ("{{0,1,2,3,4,5,6,7},{8,9,10,11,12,13,14,15}}", 8),
        ("[2,8]<=[16]", 8),
        ("mesh['data'=2,'sequence'=8] {'sequence'}", 8),
        ("mesh['data'=16] {'data':(2)8}", 8),
        ("mesh['data'=2,'model'=8] {'data','model'}", 16),
        ("{}", 16),
    ],
)
def test_groups_are_written_in_several_ways(operand, groups, devices):
    found = traffic(PROGRAM.format(trips=KNOWN, operand=operand, groups=groups))
    assert found.complete
    assert found.kinds == dict.fromkeys(KINDS, NONE) | {
        "all-gather": Collective(3, 3 * 2048, 3 * 2048 * 3),
        "collective-permute": Collective(1, 2048, 2048),
        "all-reduce": Collective(1, 16, 2 * 16 * (devices - 1) // devices),
    }


def test_a_loop_that_the_data_end_counts_once_and_is_told():
    found = traffic(PROGRAM.format(trips="", operand="%y", groups="{}"))
    assert not found.complete
    assert found.kinds["all-gather"].count == 1
    quiet = PROGRAM.replace("all-gather(%x)", "copy(%x)")
    assert traffic(quiet.format(trips="", operand="%y", groups="{}")).complete


def test_what_is_no_program():
    with pytest.raises(ValueError, match="no ENTRY"):
        traffic("HloModule jit_step")


@pytest.mark.slow
def test_a_cell_compiled_for_eight_devices(capsys, monkeypatch):
    """Of simulated ones in the place of a target's: what it tells fits its file."""
    of = language_model(model_section("conv", 8, 1, "float32", 64), 64, 4)
    lower = partial(of.lower_step, make_mesh(8, sequence=2))
    _compile_for(Target("v5e", "2x4"), 8, lower, 10**9, "float32")
    told = EMPTY | {"mixer": "conv", "length": 64}
    for line in capsys.readouterr().out.splitlines():
        told |= json.loads(line)
    cell = convert(told, CellFile, "cell")
    assert (cell["status"], cell["memory_bytes"]) == ("compiled", 16 * 2**30)
    gradients = 4 * sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(of.state).params))
    assert cell["collectives"]["all-reduce"]["bytes"] >= gradients
    assert cell["sent_bytes"] == sum(kind["sent"] for kind in cell["collectives"].values())
    assert cell["bound"] == "operations"
    assert "of 16 GiB a device, at least" in cell_line(told)
    small = MACHINES["v5e"]._replace(memory_bytes=1000.0)
    monkeypatch.setitem(MACHINES, "v5e", small)
    with pytest.raises(StoppedError, match="a device has"):
        _compile_for(Target("v5e", "2x4"), 8, lower, 10**9, "float32")
