"""Which machine a computation is traced for: forms that are fast on one are slow on another."""

from typing import Literal

import jax

Platform = Literal["cpu", "cuda", "tpu", "other"]


def platform() -> Platform:
    """The platform of the current mesh's devices; without a mesh that of JAX's default device.

    Asked while tracing, so that one program holds one form. (``lax.platform_dependent``
    traces all of them, and under autodiff keeps what each needs for its backward pass.)
    A mesh may be of devices that this machine doesn't have: compiling ahead of time.
    """
    mesh = jax.sharding.get_abstract_mesh()
    device = mesh.abstract_device if not mesh.empty else None
    device = device or jax.config.jax_default_device or jax.devices()[0]
    name = device if isinstance(device, str) else device.platform
    if name in ("gpu", "cuda"):
        # AMD's GPUs are "gpu" as well.
        return "cuda" if "NVIDIA" in getattr(device, "device_kind", "NVIDIA") else "other"
    return name if name in ("cpu", "tpu") else "other"
