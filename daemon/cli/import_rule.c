/*
 * daemon/cli/import_rule.c - see import_rule.h.
 */
#include "daemon/cli/import_rule.h"

#include <stdint.h>
#include <string.h>

const char *fr_import_column_parse(const char *text, struct fr_import_column *out)
{
    size_t len = strlen(text);
    uint64_t n;

    out->at = -1;
    out->name[0] = '\0';
    if (fr_str_to_u64(fr_str_z(text), &n) == FR_OK) {
        if (n < 1 || n > FR_IMPORT_COLUMNS)
            return "columns are numbered from 1 to 256";
        out->at = (int)n - 1;
        return NULL;
    }
    if (len == 0 || len >= FR_IMPORT_TEXT)
        return "a column's number or name is needed";
    memcpy(out->name, text, len + 1);
    return NULL;
}

bool fr_import_column_given(const struct fr_import_column *c)
{
    return c->at >= 0 || c->name[0] != '\0';
}

char *fr_import_word(char **rest)
{
    char *p = *rest + strspn(*rest, " "), *from = p;

    if (*p == '\0')
        return NULL;
    p += strcspn(p, " ");
    if (*p != '\0')
        *p++ = '\0';
    *rest = p;
    return from;
}

static const char *operand(const char *word, struct fr_import_rule *r)
{
    r->is_text = fr_str_to_f64(fr_str_z(word), &r->number) != FR_OK;
    r->text[0] = '\0';
    if (!r->is_text)
        return NULL;
    r->number = 0;
    if (r->op != FR_IMPORT_EQ && r->op != FR_IMPORT_NE)
        return "the third word is no number";
    if (strlen(word) >= FR_IMPORT_TEXT)
        return "the third word is too long";
    memcpy(r->text, word, strlen(word) + 1);
    return NULL;
}

const char *fr_import_rule_parse(char *text, struct fr_import_rule *out)
{
    static const char *const ops[] = {"<", "<=", "==", "!=", ">=", ">"};
    char *column = fr_import_word(&text), *op = fr_import_word(&text);
    char *right = fr_import_word(&text), *type = fr_import_word(&text);
    const char *why;
    int i = 0;

    if (type == NULL || fr_import_word(&text) != NULL || strlen(type) >= FR_IMPORT_TEXT)
        return "COLUMN OP OPERAND TYPE is needed";
    why = fr_import_column_parse(column, &out->column);
    if (why != NULL)
        return why;
    while (i < 6 && strcmp(op, ops[i]) != 0)
        i++;
    if (i == 6)
        return "the second word is none of < <= == != >= >";
    out->op = (enum fr_import_op)i;
    memcpy(out->type, type, strlen(type) + 1);
    return operand(right, out);
}

static bool compare(enum fr_import_op op, double a, double b)
{
    switch (op) {
    case FR_IMPORT_LT:
        return a < b;
    case FR_IMPORT_LE:
        return a <= b;
    case FR_IMPORT_EQ:
        return a >= b && a <= b;
    case FR_IMPORT_NE:
        return a < b || a > b;
    case FR_IMPORT_GE:
        return a >= b;
    case FR_IMPORT_GT:
        return a > b;
    }
    return false;
}

enum fr_err fr_import_rule_holds(const struct fr_import_rule *r, struct fr_str field, bool *out)
{
    double v;
    enum fr_err e;

    if (r->is_text) {
        *out = fr_str_eqz(field, r->text) == (r->op == FR_IMPORT_EQ);
        return FR_OK;
    }
    e = fr_str_to_f64(field, &v);
    if (e == FR_OK)
        *out = compare(r->op, v, r->number);
    return e == FR_OK ? FR_OK : FR_ESYNTAX;
}
