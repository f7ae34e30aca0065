#!/bin/sh
# Makes .venv-loggers: trackio, wandb and mlflow for tests/soak/soak_loggers.py, apart from .venv,
# whose lock they can't share (trackio brings gradio, which holds an older pillow).
#
# $LOGGERS_PYTHON names another Python than that of .venv.
set -u
cd "$(dirname "$0")/.."

packages="trackio wandb mlflow-skinny"
ready() {
    .venv-loggers/bin/python -c "import mlflow, trackio, wandb" 2>/dev/null
}

ready && exit
rm -rf .venv-loggers
echo "Setting up .venv-loggers (once, some minutes)..."
# shellcheck disable=SC2086
"${LOGGERS_PYTHON:-.venv/bin/python}" -m venv .venv-loggers &&
    .venv-loggers/bin/python -m pip install -qq --no-input --disable-pip-version-check \
        $packages && ready && exit
rm -rf .venv-loggers
echo "pip can't install $packages here; name another Python, LOGGERS_PYTHON=/path/to/python" >&2
exit 1
