#include "features/spec_line.h"

#include <stdbool.h>

struct cursor {
    struct fr_str in;
    size_t at;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_word(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static void skip_space(struct cursor *c)
{
    while (c->at < c->in.n && is_space(c->in.p[c->at]))
        c->at++;
}

/* A word [a-z_][a-z0-9_]*; n == 0 if there is none here. */
static struct fr_str take_word(struct cursor *c)
{
    size_t from = c->at;
    while (c->at < c->in.n && is_word(c->in.p[c->at], c->at == from))
        c->at++;
    return (struct fr_str){c->in.p + from, c->at - from};
}

static bool take(struct cursor *c, char want)
{
    skip_space(c);
    if (c->at >= c->in.n || c->in.p[c->at] != want)
        return false;
    c->at++;
    skip_space(c);
    return true;
}

static enum fr_err
expected(const struct cursor *c, int line_no, const char *what, struct fr_fault *f)
{
    return fr_fault(
        f, FR_ESYNTAX, "features line %d, column %d: expected %s", line_no, (int)c->at + 1, what);
}

static enum fr_err take_arg(struct cursor *c, int line_no, struct fr_line *l, struct fr_fault *f)
{
    if (l->n_args == FR_LINE_MAX_ARGS)
        return fr_fault(f,
                        FR_EFULL,
                        "features line %d, column %d: more than %d arguments",
                        line_no,
                        (int)c->at + 1,
                        FR_LINE_MAX_ARGS);
    struct fr_line_arg *a = &l->arg[l->n_args];
    a->name_col = (int)c->at + 1;
    a->name = take_word(c);
    if (a->name.n == 0)
        return expected(c, line_no, "an argument name", f);
    for (int i = 0; i < l->n_args; i++)
        if (fr_str_eq(l->arg[i].name, a->name))
            return fr_fault(f,
                            FR_EDUPLICATE,
                            "features line %d, column %d: argument \"%.*s\" twice",
                            line_no,
                            a->name_col,
                            FR_STR_ARG(a->name));
    if (!take(c, '='))
        return expected(c, line_no, "\"=\" after the argument name", f);
    size_t from = c->at;
    while (c->at < c->in.n && c->in.p[c->at] != ',' && c->in.p[c->at] != ')' &&
           c->in.p[c->at] != '(' && c->in.p[c->at] != '=' && c->in.p[c->at] > 31 &&
           c->in.p[c->at] < 127)
        c->at++;
    size_t to = c->at;
    while (to > from && is_space(c->in.p[to - 1]))
        to--;
    a->value = (struct fr_str){c->in.p + from, to - from};
    a->value_col = (int)from + 1;
    if (a->value.n == 0)
        return expected(c, line_no, "a value", f);
    l->n_args++;
    return FR_OK;
}

enum fr_err
fr_line_parse(struct fr_str text, int line_no, struct fr_line *out, struct fr_fault *fault)
{
    struct cursor c = {text, 0};
    struct fr_line l = {0};
    enum fr_err e;

    if (text.n > 1000)
        return fr_fault(fault, FR_ESYNTAX, "features line %d: longer than 1000 bytes", line_no);
    skip_space(&c);
    l.name_col = (int)c.at + 1;
    l.name = take_word(&c);
    if (l.name.n == 0)
        return expected(&c, line_no, "a feature name ([a-z_][a-z0-9_]*)", fault);
    if (!take(&c, '='))
        return expected(&c, line_no, "\"=\" after the feature name", fault);
    l.kind_col = (int)c.at + 1;
    l.kind = take_word(&c);
    if (l.kind.n == 0)
        return expected(&c, line_no, "a feature kind", fault);
    if (!take(&c, '('))
        return expected(&c, line_no, "\"(\" after the kind", fault);
    if (!take(&c, ')')) {
        do {
            e = take_arg(&c, line_no, &l, fault);
            if (e != FR_OK)
                return e;
        } while (take(&c, ','));
        if (!take(&c, ')'))
            return expected(&c, line_no, "\",\" or \")\"", fault);
    }
    if (c.at != c.in.n)
        return expected(&c, line_no, "the end of the line", fault);
    *out = l;
    return FR_OK;
}
