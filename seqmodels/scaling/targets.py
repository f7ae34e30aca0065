"""Machines to compile for without having them: ``tpu:v5e:4x4``, ``gpu:h100:8``.

A target's devices make a mesh as any do; the programs compiled for it say how much memory a
device needs. Nothing can be run.
"""

import importlib.util
import re
from typing import Any, Literal, NamedTuple

from seqmodels.errors import UserError, nearest
from seqmodels.scaling.child import read_request, run_child, tell
from seqmodels.training.mesh import MeshSettings, read_mesh

GB, TB, GIB = 10**9, 10**12, 2**30

ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    # Otherwise libtpu looks for the machine's TPU, and lets one process at a time do so.
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
"""What must be set before JAX is imported."""


class Machine(NamedTuple):
    """One device of a kind, by its maker's figures."""

    family: Literal["tpu", "gpu"]
    bfloat16_flops: float
    """FLOP/s of dense matrix products."""
    float32_flops: float
    """The same of float32 arrays as JAX multiplies them by default: on TPUs rounded to bfloat16,
    on GPUs to TF32."""
    bandwidth: float
    """Bytes/s of the device's memory."""
    memory_bytes: float
    links: float
    """Bytes/s that it sends to others, over all its links."""
    default: str
    """A topology to name in messages."""


MACHINES = {
    # docs.cloud.google.com/tpu/docs/v4: 275 TFLOPs, 32 GiB, 1,200 GB/s a chip, which ahead of
    # time is two devices; 6 links of 50 GB/s in each direction (Jouppi et al. 2023, table 4).
    "v4": Machine("tpu", 137.5e12, 137.5e12, 600 * GB, 16 * GIB, 150 * GB, "2x2x1"),
    # docs.cloud.google.com/tpu/docs/v5e: 197 TFLOPs, 16 GB, 819 GB/s; links of 400 GB/s in both
    # directions together, as in all of these tables.
    "v5e": Machine("tpu", 197e12, 197e12, 819 * GB, 16 * GIB, 200 * GB, "4x4"),
    # docs.cloud.google.com/tpu/docs/tpu7x compares v5p, v6e and TPU7x; links of 1,200, 800 and
    # 1,200 GB/s.
    "v5p": Machine("tpu", 459e12, 459e12, 2765 * GB, 95 * GIB, 600 * GB, "2x2x1"),
    "v6e": Machine("tpu", 918e12, 918e12, 1638 * GB, 32 * GIB, 400 * GB, "4x4"),
    # Here too a chip's 2,307 TFLOPs, 192 GiB, 7,380 GB/s and links are those of two devices.
    "tpu7x": Machine("tpu", 1153.5e12, 1153.5e12, 3690 * GB, 96 * GIB, 300 * GB, "2x2x1"),
    # NVIDIA's data sheets of the SXM forms, without sparsity; 80, 80 and 141 GB; NVLink of 600,
    # 900 and 900 GB/s in both directions together, between the 8 of a machine.
    "a100": Machine("gpu", 312e12, 156e12, 2.039 * TB, 80 * GB, 300 * GB, "8"),
    "h100": Machine("gpu", 989e12, 494.5e12, 3.35 * TB, 80 * GB, 450 * GB, "8"),
    "h200": Machine("gpu", 989e12, 494.5e12, 4.8 * TB, 141 * GB, 450 * GB, "8"),
}

# Compute capability, cores, FP32 units a core, GHz, bytes of shared memory a block may ask for and
# a core has, bytes of the L2 cache, the card's name.
_CARDS = {
    "a100": (8, 108, 64, 1.41, 166912, 167936, 41943040, "NVIDIA A100-SXM4-80GB"),
    "h100": (9, 132, 128, 1.98, 232448, 233472, 52428800, "NVIDIA H100 80GB HBM3"),
    "h200": (9, 132, 128, 1.98, 232448, 233472, 52428800, "NVIDIA H200"),
}


def card(name: str) -> str:
    """A GPU as XLA's compiler knows it, as a text proto.

    NVIDIA's data sheet of the SXM form, and the limits that CUDA's programming guide gives for the
    compute capability.
    """
    major, cores, units, clock, block, shared, cache, described = _CARDS[name]
    machine = MACHINES[name]
    return f"""
gpu_device_info {{
  cuda_compute_capability {{ major: {major} minor: 0 }}
  core_count: {cores}
  fpus_per_core: {units}
  clock_rate_ghz: {clock}
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: {block}
  shared_memory_per_core: {shared}
  l2_cache_size: {cache}
  device_memory_size: {int(machine.memory_bytes)}
  memory_bandwidth: {int(machine.bandwidth)}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
device_description_str: "{described}"
"""


class Target(NamedTuple):
    """Some devices of one kind."""

    name: str
    topology: str
    """``4x4``, or for GPUs how many."""

    @property
    def machine(self) -> Machine:
        return MACHINES[self.name]

    def devices(self) -> list[Any]:
        """The devices, to compile for.

        Raises:
          UserError: there is no such topology.
        """
        from jax.experimental import topologies

        try:
            if self.machine.family == "gpu":
                return topologies.get_topology_desc(
                    platform="cuda",
                    topology_name=self.name,
                    topology=f"1x1x{self.topology}",
                    target_config=card(self.name),
                ).devices
            one = all(side == "1" for side in self.topology.split("x"))
            return topologies.get_topology_desc(
                platform="tpu",
                topology_name=f"{self.name}:{self.topology}",
                **({"chips_per_host_bounds": (1, 1, 1)} if one else {}),
            ).devices
        except Exception as error:  # whatever the plugin raises
            line = str(error).splitlines()[0][:160]
            raise UserError(
                f"target=tpu:{self.name}:{self.topology} is no topology that there is ({line}); "
                f"try {self.machine.default}"
            ) from None

    def mesh(self, settings: MeshSettings) -> Any:
        """All of its devices, along the axes that settings give them.

        Raises:
          UserError: there is no such topology, or its devices can't be shared so.
        """
        import jax
        from jax.sharding import AxisType

        devices = self.devices()
        sizes = settings.sizes(len(devices))
        kinds = (AxisType.Auto,) * len(sizes)
        return jax.make_mesh(tuple(sizes.values()), tuple(sizes), kinds, devices=devices)


def read_target(text: str) -> Target:
    """Reads ``tpu:NAME:TOPOLOGY`` or ``gpu:NAME:NUMBER``.

    Raises:
      UserError: it names no known machine.

    >>> read_target("tpu:v5e:4x4")
    Target(name='v5e', topology='4x4')
    """
    parts = text.split(":")
    example = "such as tpu:v5e:4x4 or gpu:h100:8"
    if len(parts) != 3 or parts[0] not in ("tpu", "gpu"):
        raise UserError(f"target={text!r} is not FAMILY:NAME:TOPOLOGY, {example}")
    family, name, topology = parts
    known = [name for name, machine in MACHINES.items() if machine.family == family]
    if name not in known:
        raise UserError(f"target={text!r}: no {family} {name!r}; {nearest(name, known)}")
    sides = topology.split("x")
    if not all(re.fullmatch("[1-9][0-9]{0,5}", side) for side in sides) or (
        family == "gpu" and len(sides) > 1
    ):
        raise UserError(
            f"target={text!r}: {topology!r} is no topology of {name}; try {MACHINES[name].default}"
        )
    return Target(name, topology)


def require_target(text: str, mesh: str | None = None) -> None:
    """Refuses a target that is unknown, whose compiler isn't installed, or without such a topology;
    and a mesh that doesn't share its devices.

    A process of its own asks the compiler: this one's JAX has begun with other settings.
    """
    target, settings = read_target(text), read_mesh(mesh or "")
    family = target.machine.family
    module, extra = ("libtpu", "tpu") if family == "tpu" else ("jax_cuda13_plugin", "cuda")
    if importlib.util.find_spec(module) is None:
        raise UserError(
            f"target={text}: compiling for {target.name} needs {module}; "
            f"pip install -e '.[{extra}]'"
        )
    ending = run_child(__name__, {"target": text}, 8, 300, ENVIRONMENT)  # GiB and seconds
    if reason := ending.found.get("reason") or ending.reason:
        raise UserError(reason)
    settings.sizes(ending.found["devices"])


class Roofline(NamedTuple):
    """The least time that a device can take (Williams et al. 2009), and what it takes it for."""

    seconds: float
    bound: Literal["operations", "memory", "links"]

    @classmethod
    def of(
        cls,
        machine: Machine,
        dtype: str,
        flops: int | float,
        moved: int | float,
        sent: int | float = 0,
    ) -> "Roofline":
        """The greatest of flops / peak, moved bytes / bandwidth and sent bytes / links.

        That dependent steps wait for one another isn't in it, nor what a link is shared with or
        how far away a message goes.
        """
        peak = machine.bfloat16_flops if dtype == "bfloat16" else machine.float32_flops
        return max(
            cls(flops / peak, "operations"),
            cls(moved / machine.bandwidth, "memory"),
            cls(sent / machine.links, "links"),
        )


def main() -> None:
    """Says how many devices a target has, or why it has none."""
    try:
        tell(devices=len(read_target(read_request()["target"]).devices()))
    except UserError as error:
        tell(reason=str(error))


if __name__ == "__main__":
    main()
