#!/bin/bash
# unit.pipeline_no_leak finds a leak: the features stage is compiled with one more loop that cuts every row
# again after the whole batch, linked into the test instead of the product's, and the test must then fail.
#
# usage: planted_leak.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
root=$1 build=$2
if [ "${CK_TIMEOUT_MULTIPLIER:-1}" -gt 1 ]; then
  echo "SKIP script.planted_leak: the release build shows that the test finds a leak; here it would take minutes"
  exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-leak-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
source=daemon/pipeline/stage2_features.c

"${PYTHON:-python3}" - "$root/$source" "$work/planted.c" <<'PY' || exit 1
import sys
text = open(sys.argv[1]).read()
end = text.rindex("    return FR_OK;\n}")
leak = """    for (int k = 0; k < b->n_trig; k++) { /* planted: cut with the state after the batch */
        const struct fr_work *w = b->trig[k].work;
        struct fr_row_context ctx;
        if (w->kind != FR_WORK_EVENT)
            continue;
        ctx = fr_row_context_of(&w->ev, w->rec.offset);
        if (fr_row_cut(fx->eng->spec, fx->t[fx->of_work[w - b->work]].u, &ctx, fx->ar, &b->trig[k].cut) != FR_OK)
            return FR_ENOMEM;
    }
"""
assert text.index("fr_features_apply(struct") < end
open(sys.argv[2], "w").write(text[:end] + leak + text[end:])
PY
cd "$build" || exit 1
compile=$(ninja -t commands "CMakeFiles/fr_pipeline.dir/$source.o" | tail -1)
link=$(ninja -t commands tests/unit_pipeline_no_leak | tail -1)
case $compile in *" -c "*) ;; *) echo "no compile command: $compile"; exit 1 ;; esac
case $link in *libfr_pipeline.a*) ;; *) echo "no link command: $link"; exit 1 ;; esac
compile=${compile%% -MD *}
bash -c "$compile -c '$work/planted.c' -o '$work/planted.o'" || exit 1
# before the libraries: the archive's member is then not taken
link=${link/ -o tests\/unit_pipeline_no_leak / -o $work\/test $work\/planted.o }
bash -c "$link" || exit 1
"$work/test" >"$work/out" 2>&1 && { cat "$work/out"; echo "FAILED  the planted leak was not found"; exit 1; }
# batches of 1 cannot leak this way; batches of 256 must be found out, and by their rows
grep -q "cut__after_each_event__same_list_and_row:1.*lists and [1-9][0-9]* rows differ" "$work/out" || { cat "$work/out"; exit 1; }
grep -q "cut__after_each_event__same_list_and_row:0" "$work/out" && { cat "$work/out"; exit 1; }
grep "rows differ" "$work/out" | sed 's/.*cut points/planted leak found: of the cut points/'
