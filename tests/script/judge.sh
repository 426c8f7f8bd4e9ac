#!/bin/bash
# `freshet evaluate --stream` and a second, naive implementation of its protocol agree on every figure of random
# small streams: several partitions, ties, late and malformed events, missing and repeated lists, all policies.
# usage: judge.sh SOURCE_DIR BUILD_DIR. FRESHET_JUDGE_SEEDS: how many streams (150).
set -euo pipefail
exec "${PYTHON:-python3}" "$1/tests/support/judge_ref.py" compare "$2/freshet" "${FRESHET_JUDGE_SEEDS:-150}"
