#!/bin/sh
# Prints the path of a Python that .venv can be made with: 3.12 or 3.13, with venv and pip.
# $PYTHON, where set, is the only candidate.
set -u

# Runs the candidate to see, since a pyenv shim on PATH may exist and fail when run.
# The path is that of the base installation, which outlives a .venv that is on PATH.
suitable() {
    "$1" -I -c '
import sys
if not (3, 12) <= sys.version_info < (3, 14):
    sys.exit(1)
import ensurepip, venv
print(sys._base_executable)
' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    suitable "$PYTHON" && exit
    echo "PYTHON=$PYTHON is not a Python 3.12 or 3.13 that runs and has venv: name another one." >&2
    exit 1
fi

pyenv="${PYENV_ROOT:-${HOME:-}/.pyenv}/versions"
for candidate in python3.13 python3.12 python3 \
    "$pyenv"/3.13*/bin/python "$pyenv"/3.12*/bin/python; do
    suitable "$candidate" && exit
done

if candidate=$(uv python find --system --no-project '>=3.12,<3.14' 2>/dev/null); then
    suitable "$candidate" && exit
fi

echo "No Python 3.12 or 3.13 with venv found: install one (package manager, pyenv or uv)," \
    "or name it: make setup PYTHON=/path/to/python3.13" >&2
exit 1
