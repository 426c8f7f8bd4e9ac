#!/bin/bash
# Rules of the house that a machine can check: sizes, banned calls and flags, unfinished work, paths and
# hosts of somebody's machine, white space, a header for each source, six headings in each README.
#
# usage: style.sh SOURCE_DIR [BUILD_DIR]
exec "${PYTHON:-python3}" - "$@" <<'PY'
import os, re, subprocess, sys

root = sys.argv[1]
bad = []
SKIP_DIRS = {".git", "build", "out", "corpus"}
TEXT = re.compile(r"\.(c|h|cpp|def|py|sh|md|txt|json|yaml|yml|xml|properties|cmake|supp)$|^(CMakeLists\.txt|run|\..*)$")
PRODUCT = ("daemon/", "features/", "models/", "ann/")

# call -> why not; in all C of the project
BANNED = {
    "sprintf": "snprintf", "vsprintf": "vsnprintf", "strcpy": "memcpy with a checked length", "strcat": "fr_buf",
    "strncpy": "memcpy with a checked length", "strncat": "fr_buf", "gets": "fgets", "atoi": "strtol or fr_str",
    "atol": "strtol", "atof": "fr_str", "strtok": "strcspn", "alloca": "an arena", "rand": "fr_rng",
    "srand": "fr_rng", "setlocale": "nothing: numbers must not depend on it", "tmpnam": "mkstemp", "mktemp": "mkstemp",
    "thrd_create": "pthreads",
}
# in the product only
BANNED_PRODUCT = {"malloc": "fr_malloc_array", "calloc": "fr_calloc", "realloc": "fr_realloc_array", "free": "fr_free",
                  "strdup": "fr_memdup0", "strndup": "fr_memdup0", "system": "nothing", "popen": "nothing"}
# below daemon/: library code neither logs nor reads the clock
BANNED_LIBRARY = {"printf": "a return code", "fprintf": "a return code", "puts": "a return code", "perror": "a return code",
                  "clock_gettime": "time is an argument", "gettimeofday": "time is an argument", "time": "time is an argument"}
ALLOWED = {"daemon/base/alloc.c": set(BANNED_PRODUCT), "tests/support/c11threads_tsan.c": {"thrd_create"}}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|TBD|HACK)\b|(?i:\b(placeholder|not implemented|unimplemented|coming soon|lorem ipsum)\b)")
MACHINE = re.compile(r"(?<![\w.$}])/(work|root|home)/|(pypi|npmjs|crates|debian|golang)\.(org|io|com)\b|maven\.[a-z.]*(org|com)/maven2")
FLAGS = re.compile(r"-ffast-math|-Ofast|-march=native|-funsafe-math")
HEADINGS = ["Purpose", "In and out", "Files in reading order", "Rules for callers", "Threads and ownership", "Sources and tests"]
MAX_LINES = 800


def strip(text):
    """C without comments, strings and character literals; lines kept."""
    def blank(m):
        return re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", blank, text, flags=re.S)


def calls(rel, code):
    banned = dict(BANNED)
    if rel.startswith(PRODUCT):
        banned.update(BANNED_PRODUCT)
    if rel.startswith(("features/", "models/", "ann/")):
        banned.update(BANNED_LIBRARY)
    for name in ALLOWED.get(rel, ()):
        banned.pop(name, None)
    for m in re.finditer(r"(?<![\w.>:])(%s)\s*\(" % "|".join(banned), code):
        line = code.count("\n", 0, m.start()) + 1
        bad.append(f"{rel}:{line}: {m.group(1)}() is not used here: {banned[m.group(1)]}")


def check_file(rel, text):
    lines = text.split("\n")
    if len(lines) > MAX_LINES + 1 and not rel.endswith((".md", ".json")) and rel != "LICENSE":
        bad.append(f"{rel}: {len(lines) - 1} lines, at most {MAX_LINES}")
    for n, line in enumerate(lines, 1):
        if line.endswith((" ", "\t", "\r")):
            bad.append(f"{rel}:{n}: white space at the end of the line")
        if "\t" in line and not rel.endswith((".tsv", ".csv")):
            bad.append(f"{rel}:{n}: a tab")
        if not rel.startswith("tests/lint/"):
            if UNFINISHED.search(line):
                bad.append(f"{rel}:{n}: unfinished work: {line.strip()[:80]}")
            if MACHINE.search(line):
                bad.append(f"{rel}:{n}: a path or host of somebody's machine: {line.strip()[:80]}")
            if FLAGS.search(line) and re.search(r"CMake|\.cmake$|\.sh$|Presets", rel) and not re.search(r"MATCHES|message", line):
                bad.append(f"{rel}:{n}: a banned compiler flag")
    if text and not text.endswith("\n"):
        bad.append(f"{rel}: no newline at the end")
    if rel.endswith((".c", ".h", ".cpp")):
        calls(rel, strip(text))
    if rel.startswith(PRODUCT) and rel.endswith(".c") and not re.search(r"/main_\w+\.c$", rel):
        # json_write.c and gemm_avx2.c may continue json.h and gemm.h
        stem = rel[:-2]
        while not os.path.exists(os.path.join(root, stem + ".h")):
            stem, _, rest = stem.rpartition("_")
            if not stem or "/" in rest:
                bad.append(f"{rel}: has no header of its own name")
                break
    if re.fullmatch(r"(daemon|features|models|ann|deploy|tests)(/\w+)?/README\.md", rel) and rel.count("/") == 1:
        have = re.findall(r"^#+ (.*?) *$", text, re.M)
        at = [have.index(h) if h in have else -1 for h in HEADINGS]
        if -1 in at or at != sorted(at):
            bad.append(f"{rel}: must have the headings, in this order: {'; '.join(HEADINGS)}")


def files():
    for folder, dirs, names in os.walk(root):
        dirs[:] = sorted(d for d in dirs if d not in SKIP_DIRS and not d.startswith("build") and d != "__pycache__")
        for name in sorted(names):
            rel = os.path.relpath(os.path.join(folder, name), root)
            if TEXT.search(name) and name != ".git":
                yield rel


def self_test():
    """Every rule finds a planted violation, and nothing in clean text."""
    planted = [
        ("models/a.c", "int f(char *s)\n{\n    return sprintf(s, \"\");\n}\n", "sprintf()"),
        ("models/a.c", "void *g(void)\n{\n    return malloc(3);\n}\n", "malloc()"),
        ("ann/a.c", "long g(void)\n{\n    return time(0);\n}\n", "time()"),
        ("tests/x.c", "/* TO" "DO */\n", "unfinished"),
        ("tests/x.sh", "cd /wo" "rk/x\n", "somebody's machine"),
        ("tests/x.c", "int a; \n", "end of the line"),
        ("tests/x.c", "\tint a;\n", "a tab"),
        ("tests/x.c", "int a;", "no newline"),
        ("tests/x.c", "\n" * (MAX_LINES + 1), "at most"),
        ("CMakeLists.txt", "add_compile_options(-Of" "ast)\n", "compiler flag"),
        ("models/nowhere.c", "int a;\n", "no header"),
        ("models/README.md", "## Purpose\n## Files in reading order\n", "headings"),
    ]
    for rel, text, want in planted:
        bad.clear()
        check_file(rel, text)
        if not any(want in b for b in bad):
            sys.exit(f"the lint itself is broken: {want!r} not found in {rel}, only {bad}")
    bad.clear()
    check_file("tests/x.c", "/* sprintf( */\nchar *s = \"free(x) malloc(\";\nint n = snprintf(a, 1, s);\n")
    if bad:
        sys.exit(f"the lint itself is broken: clean text gives {bad}")


self_test()
checked = 0
for rel in files():
    with open(os.path.join(root, rel), encoding="utf-8", newline="") as f:
        try:
            check_file(rel, f.read())
        except UnicodeDecodeError:
            bad.append(f"{rel}: not UTF-8")
    checked += 1
    if rel.endswith(".sh") or rel == ".ci/run":
        got = subprocess.run(["bash", "-n", os.path.join(root, rel)], capture_output=True, text=True)
        if got.returncode:
            bad.append(f"{rel}: {got.stderr.strip()}")
for top in ("daemon", "features", "models", "ann", "deploy", "tests"):
    if os.path.isdir(os.path.join(root, top)) and not os.path.exists(os.path.join(root, top, "README.md")):
        print(f"note: {top}/ has no README.md")
print("\n".join(bad))
print(f"{checked} files checked")
sys.exit(1 if bad else 0)
PY
