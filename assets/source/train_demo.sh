#!/bin/sh
# Render the training set into DATA and train the demo's weights in RUN. From the root of the repository, run
#     assets/source/train_demo.sh DATA RUN
# Both steps resume after an interruption. Times and results are in assets/demo/MODEL_CARD.md.
set -eu
data=$1 run=$2
python=${PYTHON:-.venv/bin/python}

"$python" assets/source/render.py train --out "$data" --seed 9 --identities 361 --images 12 --validation 40

# Training starts from the weights of release 0.1.
mkdir -p "$run"
git show 762845f:assets/demo/model.safetensors >"$run/start.safetensors"

# These settings make training on a CPU 2 to 3 times faster on Linux, because glibc keeps the memory of large tensors.
export GLIBC_TUNABLES=glibc.malloc.mmap_threshold=17179869184:glibc.malloc.trim_threshold=17179869184:glibc.malloc.hugetlb=1

# Add --bfloat16 only on a CPU with AMX: without AVX-512, a step took 6 to 15 times as long with it.
"$python" -m fpc_core train "$data" --out "$run" --init "$run/start.safetensors" --device cpu \
    --holistic-steps 0 --fpc-steps 870 --refresh 400 --learning-rate 2e-4 \
    --class-means --look-alikes 1 --shared-space --guide 1

"$python" -m fpc_core memory build --data "$data" --weights "$run/model.safetensors" --memory "$run/memory"
"$python" -m fpc_core evaluate --ablation --data "$data" --weights "$run/model.safetensors" --memory "$run/memory"
