#!/bin/bash
# Who may include whom: the table of the layers, read off the #include lines. Third-party headers stand
# only in the files named here. The judge and the simulator share no code with features/ or models/.
#
# usage: layers.sh SOURCE_DIR [BUILD_DIR]. It first finds planted violations.
exec "${PYTHON:-python3}" - "$@" <<'PY'
import os, re, sys, tempfile

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
LIBC = set("""assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h math.h
 setjmp.h signal.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h
 string.h tgmath.h time.h uchar.h wchar.h wctype.h
 aio.h arpa/inet.h dirent.h dlfcn.h fcntl.h fnmatch.h glob.h grp.h libgen.h netdb.h net/if.h netinet/in.h
 netinet/tcp.h poll.h pthread.h pwd.h regex.h sched.h semaphore.h spawn.h strings.h sys/ioctl.h sys/ipc.h
 sys/mman.h sys/prctl.h sys/resource.h sys/select.h sys/socket.h sys/stat.h sys/statvfs.h sys/time.h sys/times.h
 sys/types.h sys/uio.h sys/un.h sys/utsname.h sys/wait.h syslog.h termios.h unistd.h
 cpuid.h immintrin.h""".split())
# header prefix -> files that may include it
THIRD = {
    "hiredis/": r"features/store_redis\w*\.c$",
    "cblas.h": r"models/gemm_openblas\w*\.c$",
    "hnswlib/": r"ann/\w+\.cpp$",
    "librdkafka/": r"daemon/stream/kafka_\w+\.[ch]$",
    "microhttpd.h": r"daemon/serve/\w+\.[ch]$",
    "yaml.h": r"daemon/config\w*\.c$",
    "malloc.h": r"daemon/base/alloc\.c$",
    "sys/auxv.h": r"daemon/base/cpu\.c$",
}
# folder -> what it may include (prefixes of root-relative paths); the longest matching folder counts
MAY = {
    "daemon/base": ["daemon/base/"],
    "features": ["daemon/base/", "features/"],
    "models": ["daemon/base/", "models/"],
    "ann": ["daemon/base/", "models/tensor.h", "models/gemm.h", "ann/"],
    "daemon/stream": ["daemon/base/", "features/", "daemon/stream/", r"daemon/"],
    "daemon": ["daemon/", "features/", "models/", "ann/"],
}
ABOVE = {"daemon/stream": ["daemon/pipeline/", "daemon/learn/", "daemon/serve/", "daemon/cli/"],
         "daemon/pipeline": ["daemon/serve/", "daemon/cli/"], "daemon/learn": ["daemon/serve/", "daemon/cli/"],
         "daemon/serve": ["daemon/cli/"]}
APART = re.compile(r"(judge|simulat|shop)")


def includes(path):
    with open(path, encoding="utf-8") as f:
        return [(kind, name) for kind, name in INCLUDE.findall(f.read())]


def reach(root, rel, seen):
    """Every project file that `rel` includes, directly or not."""
    todo = [rel]
    while todo:
        at = todo.pop()
        path = os.path.join(root, at)
        if at in seen or not os.path.exists(path):
            continue
        seen.add(at)
        todo += [name for kind, name in includes(path) if kind == '"']
    return seen


def check(root):
    bad = []
    for top in ("daemon", "features", "models", "ann"):
        for folder, _, files in os.walk(os.path.join(root, top)):
            for name in sorted(files):
                if not re.search(r"\.(c|h|cpp|def)$", name):
                    continue
                rel = os.path.relpath(os.path.join(folder, name), root)
                bad += check_file(root, rel)
    return bad


def check_file(root, rel):
    bad = []
    here = os.path.dirname(rel)
    layer = max((k for k in MAY if here == k or here.startswith(k + "/")), key=len)
    for kind, name in includes(os.path.join(root, rel)):
        if kind == "<":
            rule = next((p for h, p in THIRD.items() if name == h or (h.endswith("/") and name.startswith(h))), None)
            if rule:
                if not re.match(rule, rel):
                    bad.append(f"{rel}: <{name}> may be included only in {rule}")
            elif name not in LIBC and not (rel.endswith(".cpp") and "/" not in name and not name.endswith(".h")):
                bad.append(f"{rel}: <{name}> is not a header of C11, POSIX or a library of this folder")
            continue
        if not any(name.startswith(p) for p in MAY[layer]):
            bad.append(f"{rel}: \"{name}\" is outside of what {layer}/ may include")
        for folder, above in ABOVE.items():
            if here == folder and any(name.startswith(a) for a in above):
                bad.append(f"{rel}: \"{name}\" lies above {folder}/")
        if name.endswith("_priv.h") and os.path.dirname(name) != here:
            bad.append(f"{rel}: \"{name}\" is private to its folder")
    if APART.search(os.path.basename(rel)):
        seen = {n for k, n in includes(os.path.join(root, rel)) if k == '"'}
        if not os.path.basename(rel).startswith("cmd_"):
            seen = reach(root, rel, set())
        for name in sorted(seen):
            if name.startswith(("features/", "models/", "ann/")):
                bad.append(f"{rel}: reaches {name}; the judge and the simulator share no code with the pipeline")
    return bad


def self_test():
    planted = {
        "daemon/base/a.h": '#include "features/x.h"\n',
        "features/b.c": "#include <hiredis/hiredis.h>\n",
        "models/c.c": '#include "daemon/stream/source.h"\n',
        "ann/d.c": '#include "models/ctr.h"\n',
        "daemon/stream/e.c": '#include "daemon/serve/http.h"\n#include <threads.h>\n',
        "daemon/cli/judge.c": '#include "daemon/cli/table.h"\n',
        "daemon/cli/shop_x.c": '#include "features/spec.h"\n',
        "daemon/cli/table.h": '#include "features/spec.h"\n',
        "features/spec.h": "#include <stdint.h>\n",
    }
    with tempfile.TemporaryDirectory(prefix="freshet-lint-") as root:
        for rel, text in planted.items():
            os.makedirs(os.path.join(root, os.path.dirname(rel)), exist_ok=True)
            with open(os.path.join(root, rel), "w") as f:
                f.write(text)
        bad = check(root)
    want = ["daemon/base/a.h", "features/b.c", "models/c.c", "ann/d.c", "daemon/serve/http.h", "<threads.h>",
            "daemon/cli/judge.c", "daemon/cli/shop_x.c"]
    missed = [w for w in want if not any(w in b for b in bad)]
    if missed or len(bad) != len(want):
        sys.exit("the lint itself is broken: missed %s of %s" % (missed, bad))


self_test()
bad = check(sys.argv[1])
print("\n".join(bad))
sys.exit(1 if bad else 0)
PY
