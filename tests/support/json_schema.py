"""A JSON schema as a function: the part of draft 2020-12 that deploy/schemas uses, compiled once.

  check = compile_schema(schema);  check(value) -> None, or a text that says where and why
A keyword that is not known is refused at compile time: nothing passes because it was not looked at.
Layer: tests. Standard library only.
"""
import re

NOTES = {"$schema", "$id", "$defs", "$comment", "title", "description", "default", "examples"}
TYPES = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool) or isinstance(v, float) and v.is_integer(),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
}


def compile_schema(schema):
    return _compile(schema, schema)


def _is(kind, test, text):
    """A check that concerns values of one kind only."""
    return lambda v: text if isinstance(v, kind) and not isinstance(v, bool) and not test(v) else None


def _object(schema, root):
    fields = {k: _compile(s, root) for k, s in schema.get("properties", {}).items()}
    required = schema.get("required", [])
    extra = schema.get("additionalProperties", True)
    other = _compile(extra, root) if isinstance(extra, dict) else None

    def check(v):
        if not isinstance(v, dict):
            return None
        for k in required:
            if k not in v:
                return f"{k} is missing"
        for k, x in v.items():
            f = fields.get(k, other)
            why = f(x) if f is not None else None if extra is not False else "is not expected"
            if why is not None:
                return f"{k}: {why}"
        return None

    return check


def _array(schema, root):
    each = _compile(schema["items"], root) if "items" in schema else None
    front = [_compile(s, root) for s in schema.get("prefixItems", [])]
    low, high = schema.get("minItems", 0), schema.get("maxItems", float("inf"))

    def check(v):
        if not isinstance(v, list):
            return None
        if not low <= len(v) <= high:
            return f"has {len(v)} entries"
        for i, x in enumerate(v):
            f = front[i] if i < len(front) else each
            why = f(x) if f is not None else None
            if why is not None:
                return f"[{i}]: {why}"
        return None

    return check


def _compile(schema, root):
    if isinstance(schema, bool):
        return lambda v: None if schema else "is not allowed"
    checks, groups = [], set()
    for word, arg in schema.items():
        if word in NOTES:
            continue
        if word == "$ref":
            target = root
            for step in arg.removeprefix("#/").split("/"):
                target = target[step]
            checks.append(_compile(target, root))
        elif word == "type":
            tests = [TYPES[t] for t in (arg if isinstance(arg, list) else [arg])]
            checks.append(lambda v, tests=tests, arg=arg: None if any(t(v) for t in tests) else f"is not of type {arg}")
        elif word == "const":
            checks.append(lambda v, arg=arg: None if v == arg else f"is not {arg!r}")
        elif word == "enum":
            checks.append(lambda v, arg=arg: None if v in arg else f"is none of {arg}")
        elif word == "anyOf":
            some = [_compile(s, root) for s in arg]
            checks.append(lambda v, some=some: None if any(c(v) is None for c in some) else f"fits none: {some[0](v)}")
        elif word == "not":
            other = _compile(arg, root)
            checks.append(lambda v, other=other: "is what it must not be" if other(v) is None else None)
        elif word == "pattern":
            checks.append(_is(str, re.compile(arg).search, f"does not match {arg}"))
        elif word == "minLength":
            checks.append(_is(str, lambda v, n=arg: len(v) >= n, "is too short"))
        elif word == "maxLength":
            checks.append(_is(str, lambda v, n=arg: len(v) <= n, "is too long"))
        elif word == "minimum":
            checks.append(_is((int, float), lambda v, n=arg: v >= n, f"is below {arg}"))
        elif word == "maximum":
            checks.append(_is((int, float), lambda v, n=arg: v <= n, f"is above {arg}"))
        elif word in ("properties", "required", "additionalProperties"):
            groups.add(_object)
        elif word in ("items", "prefixItems", "minItems", "maxItems"):
            groups.add(_array)
        else:
            raise ValueError(f"schema keyword {word} is not known here")
    checks += [g(schema, root) for g in groups]

    def check(v):
        for c in checks:
            why = c(v)
            if why is not None:
                return why
        return None

    return check
