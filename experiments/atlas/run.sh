#!/bin/sh
# Makes the atlas from nothing; what is done is kept, and the same command goes on.
#   sh experiments/atlas/run.sh laptop|full WORKERS PYTHON
# On another machine that reaches the folder it adds workers, once the first has begun.
set -eu
cd "$(dirname "$0")/../.."
size=$1 workers=$2 python=$3
runs=experiments/atlas/results.json

piece() { # a sweep, its runs, and how they are collected
    name=$1 config=$2
    shift 2
    "$python" sweep.py --config="$config" --workdir="sweeps/$name" --match=parameters \
        --target=75300 --workers="$workers"
    "$python" -m experiments.collect --sweep="sweeps/$name" --runs="$runs" "$@"
}

asked() { # the same, and those that count are asked at greater lengths
    piece "$@" --lengths=64,256,1024,4096,16384 --examples=32
}

case $size in
laptop)
    piece atlas-sixteen experiments/atlas/sixteen.py
    piece atlas-text experiments/atlas/text.py
    asked atlas-longer experiments/atlas/longer.py # at the rates that the two before have found
    asked atlas-longer_text experiments/atlas/longer_text.py
    ;;
full)
    asked atlas-full experiments/atlas/full.py
    asked atlas-full_text experiments/atlas/full_text.py
    ;;
*)
    echo "make atlas: SIZE=$size is not known; take SIZE=laptop or SIZE=full" >&2
    exit 2
    ;;
esac
"$python" -m experiments.draw atlas
