#!/usr/bin/env bash
# Finetunes google/ddpm-celebahq-256 with eight seeds, one run on each of eight GPUs, and compares the results.
#
#   examples/celebahq-256-eight-gpus.sh FOLDER
#
# Interrupted runs resume when the script starts again.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder="${1:?usage: examples/celebahq-256-eight-gpus.sh FOLDER}"
export PATH="$PWD/target/release:$PATH"
mkdir -p "$folder"

for gpu in 0 1 2 3 4 5 6 7; do
  run="$folder/seed-$gpu"
  command=(ddpo train --config examples/celebahq-256.toml --run-seed "$gpu" --output-dir "$run")
  if [ -e "$run/run.toml" ]; then command=(ddpo train --resume --output-dir "$run"); fi
  CUDA_VISIBLE_DEVICES=$gpu "${command[@]}" >>"$folder/seed-$gpu.log" 2>&1 &
done
wait

# Draws the same noise from the best checkpoint of each seed, and writes rewards and intervals to a table.
ddpo evaluate google/ddpm-celebahq-256 "$folder"/seed-*/checkpoints/best --reward "over50 years old" \
  --age-reward log-odds --device cuda --seeds 1,2,3 --num-samples 64 --eta 1 --out "$folder/evaluation"
