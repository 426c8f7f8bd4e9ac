/*
 * daemon/config_text.c - texts made from the rows: YAML dump, JSON schema, Markdown reference.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/base/json.h"
#include "daemon/config.h"
#include "daemon/config_row.h"

/* Characters JSON may hold as they are, and YAML refuses or takes for line breaks. */
static const struct {
    const char *raw, *escaped;
} yaml_only[] = {{"\x7f", "\\x7F"},         {"\xe2\x80\xa8", "\\u2028"}, {"\xe2\x80\xa9", "\\u2029"},
                 {"\xef\xbb\xbf", "\\uFEFF"}, {"\xef\xbf\xbe", "\\uFFFE"}, {"\xef\xbf\xbf", "\\uFFFF"}};

/* Double-quoted YAML scalar: JSON escaping is valid YAML, but for `yaml_only` and U+0080..U+009F. */
static void put_quoted(struct fr_buf *out, const char *z)
{
    struct fr_buf json;
    struct fr_jsonw w;

    fr_buf_init(&json);
    fr_jsonw_init(&w, &json);
    fr_jsonw_z(&w, z);
    if (json.err != FR_OK && out->err == FR_OK)
        out->err = json.err;
    for (size_t i = 0; i < json.n;) {
        const unsigned char *p = (const unsigned char *)json.p + i;
        size_t left = json.n - i, used = 0;

        if (left >= 2 && p[0] == 0xc2 && p[1] < 0xa0) {
            fr_buf_printf(out, "\\x%02X", p[1]);
            used = 2;
        }
        for (size_t k = 0; used == 0 && k < sizeof(yaml_only) / sizeof(yaml_only[0]); k++) {
            size_t n = strlen(yaml_only[k].raw);
            if (left >= n && memcmp(p, yaml_only[k].raw, n) == 0) {
                fr_buf_puts(out, yaml_only[k].escaped);
                used = n;
            }
        }
        if (used == 0) {
            fr_buf_put(out, p, 1);
            used = 1;
        }
        i += used;
    }
    fr_buf_done(&json);
}

static void put_choice(struct fr_buf *out, const char *choices, int index)
{
    const char *p = choices;

    while (index > 0 && p != NULL) {
        p = strchr(p, '|');
        p = p == NULL ? NULL : p + 1;
        index--;
    }
    if (p != NULL)
        fr_buf_put(out, p, strcspn(p, "|"));
}

void fr_config_format(const struct fr_config *c, const struct fr_config_row *row, struct fr_buf *out)
{
    const void *v = (const char *)c + row->offset;

    switch (row->type) {
    case FR_CONFIG_STR:
        put_quoted(out, *(char *const *)v);
        break;
    case FR_CONFIG_INT:
        fr_buf_put_i64(out, *(const int64_t *)v);
        break;
    case FR_CONFIG_MS:
        fr_buf_printf(out, "%lldms", (long long)*(const int64_t *)v);
        break;
    case FR_CONFIG_BYTES:
        fr_buf_put_i64(out, *(const int64_t *)v);
        break;
    case FR_CONFIG_F64: {
        char tmp[32];
        fr_f64_to_str(*(const double *)v, tmp);
        fr_buf_puts(out, tmp);
        break;
    }
    case FR_CONFIG_BOOL:
        fr_buf_puts(out, *(const bool *)v ? "true" : "false");
        break;
    case FR_CONFIG_ENUM:
        put_choice(out, row->unit, *(const int *)v);
        break;
    case FR_CONFIG_LIST: {
        const struct fr_config_list *l = v;
        fr_buf_putc(out, '[');
        for (int i = 0; i < l->n; i++) {
            if (i > 0)
                fr_buf_puts(out, ", ");
            put_quoted(out, l->v[i]);
        }
        fr_buf_putc(out, ']');
        break;
    }
    }
}

void fr_config_dump(const struct fr_config *c, struct fr_buf *out)
{
    const char *section = "";

    fr_buf_puts(out, "# Freshet configuration. Every key also as --set section.key=value and as\n"
                     "# FRESHET_SECTION_KEY in the environment. Keys marked (reload) follow SIGHUP.\n");
    for (int i = 0; i < fr_config_n_rows; i++) {
        const struct fr_config_row *row = &fr_config_rows[i];
        if (strcmp(section, row->section) != 0) {
            fr_buf_printf(out, "\n%s:\n", row->section);
            section = row->section;
        }
        if (row->help[0] != '\0' || row->reload)
            fr_buf_printf(out, "  # %s%s\n", row->help, row->reload ? " (reload)" : "");
        fr_buf_printf(out, "  %s: ", row->key);
        fr_config_format(c, row, out);
        fr_buf_putc(out, '\n');
    }
}

static void schema_type(struct fr_jsonw *w, const struct fr_config_row *row)
{
    const char *p = row->unit;

    switch (row->type) {
    case FR_CONFIG_INT:
    case FR_CONFIG_F64:
        fr_jsonw_key(w, "type");
        fr_jsonw_z(w, row->type == FR_CONFIG_INT ? "integer" : "number");
        fr_jsonw_key(w, "minimum");
        fr_jsonw_f64(w, row->min);
        fr_jsonw_key(w, "maximum");
        fr_jsonw_f64(w, row->max);
        break;
    case FR_CONFIG_MS:
    case FR_CONFIG_BYTES:
        fr_jsonw_key(w, "type");
        fr_jsonw_array(w);
        fr_jsonw_z(w, "integer");
        fr_jsonw_z(w, "string");
        fr_jsonw_end(w, ']');
        break;
    case FR_CONFIG_BOOL:
        fr_jsonw_key(w, "type");
        fr_jsonw_z(w, "boolean");
        break;
    case FR_CONFIG_ENUM:
        fr_jsonw_key(w, "enum");
        fr_jsonw_array(w);
        while (p != NULL) {
            fr_jsonw_str(w, (struct fr_str){p, strcspn(p, "|")});
            p = strchr(p, '|');
            p = p == NULL ? NULL : p + 1;
        }
        fr_jsonw_end(w, ']');
        break;
    case FR_CONFIG_LIST:
        fr_jsonw_key(w, "type");
        fr_jsonw_z(w, "array");
        break;
    case FR_CONFIG_STR:
        fr_jsonw_key(w, "type");
        fr_jsonw_z(w, "string");
        break;
    }
}

void fr_config_schema(struct fr_buf *out)
{
    struct fr_jsonw w;
    const char *section = "";

    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    fr_jsonw_key(&w, "$schema");
    fr_jsonw_z(&w, "https://json-schema.org/draft/2020-12/schema");
    fr_jsonw_key(&w, "title");
    fr_jsonw_z(&w, "Freshet configuration");
    fr_jsonw_key(&w, "type");
    fr_jsonw_z(&w, "object");
    fr_jsonw_key(&w, "additionalProperties");
    fr_jsonw_bool(&w, false);
    fr_jsonw_key(&w, "properties");
    fr_jsonw_object(&w);
    for (int i = 0; i < fr_config_n_rows; i++) {
        const struct fr_config_row *row = &fr_config_rows[i];
        if (strcmp(section, row->section) != 0) {
            if (section[0] != '\0') {
                fr_jsonw_end(&w, '}');
                fr_jsonw_end(&w, '}');
            }
            section = row->section;
            fr_jsonw_key(&w, section);
            fr_jsonw_object(&w);
            fr_jsonw_key(&w, "type");
            fr_jsonw_z(&w, "object");
            fr_jsonw_key(&w, "additionalProperties");
            fr_jsonw_bool(&w, false);
            fr_jsonw_key(&w, "properties");
            fr_jsonw_object(&w);
        }
        fr_jsonw_key(&w, row->key);
        fr_jsonw_object(&w);
        schema_type(&w, row);
        fr_jsonw_key(&w, "description");
        fr_jsonw_z(&w, row->help);
        fr_jsonw_end(&w, '}');
    }
    fr_jsonw_end(&w, '}');
    fr_jsonw_end(&w, '}');
    fr_jsonw_end(&w, '}');
    fr_jsonw_end(&w, '}');
    fr_buf_putc(out, '\n');
}

void fr_config_manual(struct fr_buf *out)
{
    struct fr_config c;
    const char *section = "";

    if (fr_config_init(&c, NULL) != FR_OK) {
        out->err = FR_ENOMEM;
        return;
    }
    fr_buf_puts(out, "# Configuration reference\n\nMade from daemon/config.def by `freshet config "
                     "manual`.\n");
    for (int i = 0; i < fr_config_n_rows; i++) {
        const struct fr_config_row *row = &fr_config_rows[i];
        if (strcmp(section, row->section) != 0) {
            section = row->section;
            fr_buf_printf(out, "\n## %s\n\n| key | default | range | reload | meaning |\n|---|---|---|---|---|\n",
                          section);
        }
        fr_buf_printf(out, "| `%s` | `", row->key);
        fr_config_format(&c, row, out);
        fr_buf_puts(out, "` | ");
        if (row->type == FR_CONFIG_ENUM || row->type == FR_CONFIG_STR || row->type == FR_CONFIG_BOOL ||
            row->type == FR_CONFIG_LIST) {
            for (const char *p = row->unit; *p != '\0'; p++)
                fr_buf_puts(out, *p == '|' ? ", " : (char[]){*p, '\0'});
        } else {
            fr_buf_printf(out, "%.16g to %.16g %s", row->min, row->max, row->unit);
        }
        fr_buf_printf(out, " | %s | %s |\n", row->reload ? "yes" : "no", row->help);
    }
    fr_config_done(&c);
}
