#!/bin/sh
# Makes .venv-torch: PyTorch for benchmarks/layers.py to compare with, apart from .venv.
#
# Any Python that pip finds a PyTorch 2.13 for will do; the newest come last, because
# wheels for them are the ones most often missing. $TORCH_PYTHON names another.
set -u
cd "$(dirname "$0")/.."

version=2.13
ready() {
    .venv-torch/bin/python -c "import torch; assert torch.__version__.startswith('$version')" \
        2>/dev/null
}

ready && exit
pyenv="${PYENV_ROOT:-${HOME:-}/.pyenv}/versions"
for candidate in ${TORCH_PYTHON:-python3.11 "$pyenv"/3.11*/bin/python python3.12 python3.13 \
    .venv/bin/python}; do
    rm -rf .venv-torch
    "$candidate" -m venv .venv-torch 2>/dev/null || continue
    echo "Setting up .venv-torch with $candidate (once, some minutes)..."
    .venv-torch/bin/python -m pip install -qq --no-input --disable-pip-version-check \
        "torch==$version.*" numpy && ready && exit
done
rm -rf .venv-torch
echo "No Python found for which pip has PyTorch $version:" \
    "name one, make bench TORCH_PYTHON=/path/to/python" >&2
exit 1
