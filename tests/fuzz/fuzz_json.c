/*
 * tests/fuzz/fuzz_json.c - hostile JSON: what is taken has finite numbers, valid text and a bounded depth,
 * and writing the tree gives a text that reads back to a tree that writes the same; what is refused says where.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "daemon/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fr_arena *ar;

static void check(bool ok)
{
    if (!ok)
        abort();
}

/* Depth is bounded by the parser: recursion is safe here, and checked. */
static void write_tree(struct fr_jsonw *w, const struct fr_json *v, size_t size, int depth)
{
    size_t n = 0;

    check(depth <= FR_JSON_MAX_DEPTH && v->offset < size);
    switch (v->type) {
    case FR_JSON_NULL:
        fr_jsonw_null(w);
        break;
    case FR_JSON_BOOL:
        fr_jsonw_bool(w, v->b);
        break;
    case FR_JSON_NUMBER:
        check(isfinite(v->num) && (!v->is_int || v->num == (double)v->i));
        if (v->is_int && !(v->i == 0 && signbit(v->num)))
            fr_jsonw_i64(w, v->i);
        else
            fr_jsonw_f64(w, v->num);
        break;
    case FR_JSON_STRING:
        check(fr_utf8_valid(v->str));
        fr_jsonw_str(w, v->str);
        break;
    case FR_JSON_ARRAY:
    case FR_JSON_OBJECT:
        if (v->type == FR_JSON_OBJECT)
            fr_jsonw_object(w);
        else
            fr_jsonw_array(w);
        for (const struct fr_json *c = v->child; c != NULL; c = c->next, n++) {
            if (v->type == FR_JSON_OBJECT) {
                check(fr_utf8_valid(c->key));
                fr_jsonw_keys(w, c->key);
            }
            write_tree(w, c, size, depth + 1);
        }
        check(n == v->n);
        fr_jsonw_end(w, v->type == FR_JSON_OBJECT ? '}' : ']');
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_json_error je = {FR_OK, SIZE_MAX, NULL};
    const struct fr_json *root = NULL;
    struct fr_buf a, b;
    struct fr_jsonw w;
    enum fr_err e;

    if (ar == NULL && fr_arena_new(65536, 0, &ar) != FR_OK)
        abort();
    fr_buf_init(&a);
    fr_buf_init(&b);
    e = fr_json_parse(ar, (struct fr_str){(const char *)data, size}, &root, &je);
    if (e != FR_OK) {
        check(root == NULL && je.err == e && je.what != NULL && je.offset <= size);
    } else {
        fr_jsonw_init(&w, &a);
        write_tree(&w, root, size, 0);
        check(fr_buf_err(&a) == FR_OK);
        check(fr_json_parse(ar, fr_buf_str(&a), &root, &je) == FR_OK);
        fr_jsonw_init(&w, &b);
        write_tree(&w, root, a.n, 0);
        check(fr_buf_err(&b) == FR_OK && fr_str_eq(fr_buf_str(&a), fr_buf_str(&b)));
    }
    fr_buf_done(&a);
    fr_buf_done(&b);
    fr_arena_reset(ar);
    return 0;
}
