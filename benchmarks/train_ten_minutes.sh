#!/bin/sh
# Train configs/brain2d-wide.yaml for ten minutes on what accelerator there is, from the checkpoint in
# OUTPUT if there is one, else from the beginning. Several calls continue each other.
#
#   MOLRECON_IMAGES=… benchmarks/train_ten_minutes.sh OUTPUT [SECONDS]
#
# MOLRECON_IMAGES is the folder that benchmarks/training_images.py writes (12 MB).
set -eu
output=$1
python -m molrecon train configs/brain2d-wide.yaml --resume \
    --time-limit "${2:-540}" --output "$output" --accelerator auto
