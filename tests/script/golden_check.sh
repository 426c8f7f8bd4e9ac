#!/bin/bash
# Makes the golden files again with PyTorch, in memory, and compares them with the committed ones.
# usage: golden_check.sh SOURCE_DIR [BUILD_DIR]. SKIP where python3 (or $PYTHON) has no numpy and torch.
set -uo pipefail
python=${PYTHON:-python3}
"$python" -c 'import numpy, torch' 2>/dev/null || { echo "SKIP script.golden_check: no numpy and torch in $python${FRESHET_NO_GOLDEN:+: $FRESHET_NO_GOLDEN}"; exit 77; }
exec "$python" "$1/tests/golden/make_golden.py" --check
