#!/bin/sh
# Prints the path of a Python that .venv can be made with: 3.12 to 3.14, with venv and pip.
# $PYTHON, where set, is the only candidate. Where none fits, uv brings one if it is there.
set -u

# Runs the candidate to see, since a pyenv shim on PATH may exist and fail when run.
# The path is that of the base installation, which outlives a .venv that is on PATH.
suitable() {
    "$1" -I -c '
import sys
if not (3, 12) <= sys.version_info < (3, 15):
    sys.exit(1)
import ensurepip, venv
print(sys._base_executable)
' 2>/dev/null
}

# The version of a candidate that would do, but for venv: Debian packs that apart.
lacks_venv() {
    "$1" -I -c '
import sys
if not (3, 12) <= sys.version_info < (3, 15):
    sys.exit(1)
print("%d.%d" % sys.version_info[:2])
' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    suitable "$PYTHON" && exit
    echo "PYTHON=$PYTHON is not a Python 3.12 to 3.14 that runs and has venv: name another one." >&2
    exit 1
fi

pyenv="${PYENV_ROOT:-${HOME:-}/.pyenv}/versions"
without=
for candidate in python3.13 python3.12 python3.14 python3 \
    "$pyenv"/3.13*/bin/python "$pyenv"/3.12*/bin/python "$pyenv"/3.14*/bin/python; do
    suitable "$candidate" && exit
    without=${without:-$(lacks_venv "$candidate")}
done

if command -v uv >/dev/null; then
    uv python find --system --no-project '>=3.12,<3.15' >/dev/null 2>&1 ||
        uv python install --quiet 3.13 >&2
    candidate=$(uv python find --system --no-project '>=3.12,<3.15' 2>/dev/null) &&
        suitable "$candidate" && exit
fi

if [ -n "$without" ]; then
    mend="apt install python$without-venv"
    command -v apt >/dev/null || mend="install Python $without's venv and ensurepip"
elif command -v brew >/dev/null; then
    mend="brew install python@3.13"
elif command -v dnf >/dev/null; then
    mend="dnf install python3.13"
elif command -v pacman >/dev/null; then
    mend="pacman -S python"
elif command -v apt >/dev/null && apt-cache show python3.13-venv >/dev/null 2>&1; then
    mend="apt install python3.13-venv"
else
    mend="install uv, which brings one"
fi
echo "No Python 3.12 to 3.14 with venv found: $mend" \
    "(or name one: make setup PYTHON=/path/to/python3.13)" >&2
exit 1
