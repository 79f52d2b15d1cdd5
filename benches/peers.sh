#!/usr/bin/env bash
# Whom `tilelab bench gemm` can be held against: names what is missing and how to install it, makes a library with a
# cblas-like face of libxsmm.a, and runs the bench on all that is there. Arguments go to the bench, such as --bars.
set -euo pipefail
cd "$(dirname "$0")/.."
made=target/peers
mkdir -p "$made"
blas=()

# A file of the first library of this name, where the loader or Python has one.
found() { ldconfig -p | awk -v name="$1" '$1 ~ "^" name "[.]so" { print $NF; exit }'; }

if [ -z "$(found libdnnl)" ]; then echo "oneDNN: not installed (apt-get install libdnnl-dev)"; fi
if [ -z "$(found libopenblas)" ]; then
    scipy=$(python3 -c 'import scipy_openblas32 as o; print(o.get_lib_dir() + "/" + o.get_library(fullname=True))' 2>/dev/null || true)
    if [ -f "$scipy" ]; then
        blas+=(--blas "$scipy")
    else
        echo "OpenBLAS: not installed (python3 -m pip install scipy-openblas32, or apt-get install libopenblas0-pthread)"
    fi
fi
if [ -z "$(found libblis)" ]; then echo "BLIS: not installed (apt-get install libblis4-pthread)"; fi
if [ -z "$(found libmkl_rt)" ]; then echo "MKL: not installed (python3 -m pip install mkl, then --blas PATH/libmkl_rt.so.2)"; fi

archive=$(find /usr/lib /usr/local/lib -name libxsmm.a -print -quit 2>/dev/null || true)
if [ -z "$archive" ]; then
    echo "libxsmm: not installed (apt-get install libxsmm-dev)"
elif ! command -v cc >/dev/null; then
    echo "libxsmm: needs a C compiler to become a library (apt-get install gcc)"
else
    # It asks for a BLAS for shapes without code, which tilelab_made_for keeps away; its own stand-in satisfies the loader.
    cc -O2 -shared -fPIC benches/peers/libxsmm.c -o "$made/libxsmm.so" -Wl,--whole-archive "$archive" \
        "${archive%.a}noblas.a" -Wl,--no-whole-archive -lpthread -ldl -lm
    blas+=(--blas "$made/libxsmm.so")
fi

# OpenMP's threads, and OpenBLAS's own, sleep while another contestant has its turn.
export OMP_WAIT_POLICY=passive OPENBLAS_THREAD_TIMEOUT=4
cargo build --release --quiet --features peers
exec target/release/tilelab bench gemm "${blas[@]}" "$@"
