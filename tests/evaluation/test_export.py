"""What is exported: read by NumPy alone, read back, and equal."""

import json

import jax
import numpy as np
import pytest

from seqmodels import export, read_export
from seqmodels.errors import UserError
from seqmodels.training.experiment import build_experiment
from seqmodels.training.parameter_files import named, read_parameters
from tests.command_line import SEQMODELS, call
from tests.run_folders import loaded


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """A run's folder, and the file that it was exported to."""
    folder, file = (
        run("copy", "lstm", 1),
        tmp_path_factory.mktemp("export") / "new/model.safetensors",
    )
    assert export(folder, file) == file.with_suffix(".json")
    return loaded(folder), file


def arrays_of(file) -> dict[str, np.ndarray]:
    """By NumPy and JSON alone."""
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    return {
        name: np.frombuffer(
            content[start:][slice(*about["data_offsets"])], {"F32": "<f4"}[about["dtype"]]
        ).reshape(about["shape"])
        for name, about in header.items()
        if name != "__metadata__"
    }


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normalised(x, scale, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * scale + bias


def logits(arrays: dict[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
    """Those of an LSTM in one pre-norm block, of tokens [B, L]."""
    of = {name: array.astype(np.float64) for name, array in arrays.items()}
    x = of["embedding.table"][tokens]
    norm, mixer = "blocks.0.mixer_norm.norm", "blocks.0.mixer"
    read = normalised(x, of[f"{norm}.scale"], of[f"{norm}.bias"])
    projected = np.einsum("bld,dge->blge", read, of[f"{mixer}.inputs.weights"])
    projected += of[f"{mixer}.inputs.bias"]
    h = c = np.zeros((len(tokens), x.shape[-1]))
    outputs = []
    for t in range(tokens.shape[1]):
        gates = projected[:, t] + np.einsum("bd,dge->bge", h, of[f"{mixer}.weights"])
        i, f, g, o = np.moveaxis(gates, 1, 0)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    x = normalised(x + np.stack(outputs, axis=1), of["norm.norm.scale"], of["norm.norm.bias"])
    return x @ of["head.weights"] + of["head.bias"]


@pytest.mark.slow
def test_numpy_alone_computes_the_logits(exported):
    run, file = exported
    tokens = run.task.batch("test", 0, 2, 22).inputs
    np.testing.assert_allclose(logits(arrays_of(file), tokens), run.scores(tokens), atol=1e-4)


def test_what_is_read_back_is_the_same(exported):
    run, file = exported
    about, params = read_export(file)
    theirs, ours = named(params), named(run.params)
    assert list(theirs) == list(ours) == list(about["parameters"])
    for name, array in ours.items():
        np.testing.assert_array_equal(theirs[name], array)
        assert about["parameters"][name]["shape"] == list(array.shape)
    assert about["parameters"]["blocks.0.mixer.weights"]["axes"] == ["D", "gates", "D"]
    assert about["step"] == run.step
    model = build_experiment(about["config"]).model
    batch = run.task.batch("test", 0, 2, 22)
    scores = jax.jit(model.apply)(params, batch, None)
    np.testing.assert_allclose(scores, run.scores(batch), atol=1e-5)


def test_what_is_no_export_is_refused_in_a_line(exported, tmp_path):
    run, file = exported
    with pytest.raises(UserError, match=r"to=model.npz does not end in \.safetensors; name a file"):
        export(run.workdir.path, "model.npz")
    with pytest.raises(UserError, match=r"b.json: no such file; it says what"):
        read_export(tmp_path / "b.safetensors")
    damaged = tmp_path / "c.safetensors"
    damaged.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"c.safetensors is cut short or no safetensors file"):
        read_parameters(damaged)
    damaged.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    damaged.with_suffix(".json").write_text(file.with_suffix(".json").read_text())
    with pytest.raises(UserError, match=r"c.json is of other parameters than"):
        read_export(damaged)
    with pytest.raises(UserError, match=r"d.safetensors: no such file"):
        read_parameters(tmp_path / "d.safetensors")


def test_the_command_says_what_it_wrote(exported, tmp_path):
    run, file = exported
    to = tmp_path / "model.safetensors"
    said = f"{to}, and {to.with_suffix('.json')}, which says what it holds\n"
    assert call(SEQMODELS, "export", str(run.workdir.path), f"--to={to}")[:2] == (0, said)
    assert to.read_bytes() == file.read_bytes()
    wrong = "python -m seqmodels export: 0 runs are named; name the folder of one to export\n"
    assert call(SEQMODELS, "export", f"--to={to}") == (2, "", wrong)
