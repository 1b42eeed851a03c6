#!/bin/sh
# Makes the golden values anew. Needs Python with PyTorch, NumPy and mpmath; the tests need neither.
set -e
cd "$(dirname "$0")/../.."
export PYTHONPATH=scripts/golden OMP_NUM_THREADS=1
node scripts/golden/specs.mjs | python3 scripts/golden/ops.py
python3 scripts/golden/functions.py
python3 scripts/golden/training.py
python3 scripts/golden/weights.py
python3 scripts/golden/losses.py
python3 scripts/golden/masked_losses.py
python3 scripts/golden/optimizers.py
python3 scripts/golden/layers.py
python3 scripts/golden/unfreezing.py
python3 scripts/golden/spatial.py
python3 scripts/golden/images.py
python3 scripts/golden/recurrent.py
python3 scripts/golden/attention.py
python3 scripts/golden/hessian.py
python3 scripts/golden/vmap.py
python3 scripts/golden/scans.py
python3 scripts/golden/metrics.py
python3 scripts/golden/digits_curve.py
python3 scripts/golden/differential.py
