"""Values and gradients by PyTorch, for the make_*.py scripts that import this."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import einops
import numpy as np
import torch
from recording import Arrays, Recording, exact, weights
from torch import nn

Tensors = dict[str, torch.Tensor]
TRANSFORMERS = "transformers 5.24.0"
ANNOTATIONS = SimpleNamespace(typed=lambda function: function)
"""What stands for a module of annotations: nothing is checked."""
GIVEN = {
    "torch": torch,
    "nn": nn,
    "F": nn.functional,
    "math": math,
    "einops": einops,
    "rearrange": einops.rearrange,
    "repeat": einops.repeat,
}
"""What most files import."""


def heads_first(*arrays: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """[B, L, H, ...] as [B, H, L, ...], and back."""
    return tuple(array.transpose(1, 2) for array in arrays)


class Drawn:
    """Arrays drawn one after the other, of numbers that float16 holds."""

    def __init__(self, seed: int):
        self._random = np.random.default_rng(seed)

    def normal(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        """Normal numbers."""
        return exact(scale * self._random.standard_normal(shape))

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """Numbers between two."""
        return exact(self._random.uniform(low, high, shape))

    def unit(self, *shape: int) -> np.ndarray:
        """Vectors along the last axis, of length 1 but for rounding."""
        array = self._random.standard_normal(shape)
        return exact(array / np.linalg.norm(array, axis=-1, keepdims=True))

    def log_decay(self, *shape: int) -> np.ndarray:
        """Logs of decays in (0, 1), most of them near 0 and some of them -20: a forgotten state."""
        array = -np.logaddexp(0, 1.5 * self._random.standard_normal(shape) - 1.5)
        array[self._random.random(shape) < 0.03] = -20
        return exact(array)


def record(
    recording: Recording,
    case: str,
    origin: str,
    function: Callable[..., Tensors],
    inputs: Arrays,
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> None:
    """Keeps what a function of tensors returns, by name, and its gradients by each of them.

    They are computed in float64 where ``dtype`` says so and the function leaves it at that.
    """
    tensors = {
        name: torch.tensor(array, dtype=dtype, requires_grad=True) for name, array in inputs.items()
    }
    outputs = function(**tensors)
    total = sum((out * torch.tensor(weights(tuple(out.shape)))).sum() for out in outputs.values())
    assert isinstance(total, torch.Tensor)
    found = torch.autograd.grad(total, list(tensors.values()))
    gradients = dict(zip(tensors, found, strict=True))
    values = [
        {name: tensor.detach().float().contiguous().numpy() for name, tensor in some.items()}
        for some in (outputs, gradients)
    ]
    recording.add(case, origin, inputs, values[0], values[1], settings)


def record_module(
    recording: Recording,
    case: str,
    origin: str,
    module: nn.Module,
    call: Callable[[nn.Module, torch.Tensor], Tensors],
    x: np.ndarray,
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> None:
    """Keeps what a module makes of x; its parameters, by their names, are inputs as x is."""
    module.to(dtype)
    inputs = {name: exact(value.detach().numpy()) for name, value in module.named_parameters()}

    def run(x: torch.Tensor, **parameters: torch.Tensor) -> Tensors:
        return torch.func.functional_call(
            _Called(module, call), {f"module.{k}": v for k, v in parameters.items()}, (x,)
        )

    record(recording, case, origin, run, {"x": x, **inputs}, dtype, **settings)


class _Called(nn.Module):
    """A module that is called in its own way."""

    def __init__(self, module: nn.Module, call: Callable[..., Tensors]):
        super().__init__()
        self.module, self.call = module, call

    def forward(self, x: torch.Tensor) -> Tensors:
        return self.call(self.module, x)
