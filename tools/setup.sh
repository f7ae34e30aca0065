#!/bin/sh
# Makes .venv from requirements.lock, with seqmodels in editable form. With EXTRA=cuda or tpu it
# adds what an accelerator needs, from requirements-EXTRA.lock, and keeps it at later calls.
#
# .venv/stamp is written last and says what .venv was made from. While it says the same as
# today, nothing is done. When only the lock or pyproject.toml has changed, .venv is updated.
# A .venv without a stamp (a half-done install), made in another folder (a moved or copied
# clone), or with a python that no longer runs, is made anew.
set -eu
cd "$(dirname "$0")/.."

folder=$(pwd -P)
extra=${EXTRA:-$(cat .venv/extra 2>/dev/null || true)}
if [ -n "$extra" ] && [ ! -f "requirements-$extra.lock" ]; then
    echo "EXTRA=$extra is not one of: $(ls requirements-*.lock | sed 's/requirements-//; s/.lock//' |
        tr '\n' ' ')" >&2
    exit 1
fi
locks="requirements.lock ${extra:+requirements-$extra.lock}"
# shellcheck disable=SC2086  # they are two names
wanted=$(echo "$folder" && cksum $locks pyproject.toml)
stamp=$(cat .venv/stamp 2>/dev/null || true)

python_runs() {
    .venv/bin/python -I -S -c '' 2>/dev/null
}

install() {
    # --compile: start-up stays fast where PYTHONDONTWRITEBYTECODE or a pip setting says otherwise.
    .venv/bin/python -m pip install -qq --no-input --disable-pip-version-check --compile "$@" &&
        return
    # Without a network pip says that there is no such version.
    echo "Setting up .venv stopped, as pip says above. If it can't reach its package index, name one" \
        "that it can (PIP_INDEX_URL=URL, or pip's configuration); the same command goes on." >&2
    exit 1
}

if [ "$stamp" = "$wanted" ] && python_runs; then
    exit 0
fi

if [ "${stamp%%
*}" = "$folder" ] && python_runs; then
    echo "Updating .venv..."
    rm .venv/stamp
else
    python=$(sh tools/find-python.sh)
    echo "Setting up .venv (once, about a minute)..."
    rm -rf .venv
    "$python" -m venv .venv
fi

# promise, which tensorflow-datasets needs, is pure Python but has no wheel. The lock's setuptools
# builds it: in isolation pip would fetch another, without a hash.
awk '/^setuptools==/ { found = 1 } found { print } found && !/\\$/ { exit }' requirements.lock \
    >.venv/setuptools.txt
install --require-hashes --only-binary :all: -r .venv/setuptools.txt
install --require-hashes --only-binary :all: --no-binary promise --no-build-isolation \
    -r requirements.lock
if [ -n "$extra" ]; then
    install --require-hashes --only-binary :all: -r "requirements-$extra.lock"
fi
install --no-build-isolation --no-deps --editable .
echo "$extra" >.venv/extra
echo "$wanted" >.venv/stamp
