/*
 * tests/fuzz/fuzz_import_map.c - mappings of columns, hostile. What is taken must be whole.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cli/import_map.h"
#include "daemon/cli/import_time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fr_import_map m;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_str text = {(const char *)data, size};
    int64_t ms;

    if (fr_import_map_parse(text, "fuzz", &m, &fault) != FR_OK) {
        if (fault.msg[0] == '\0')
            abort();
        return 0;
    }
    if (m.events.n_files < 1 || m.events.n_files > FR_IMPORT_FILES || m.items.n_files > FR_IMPORT_FILES || m.events.separator[0] == '\0' || m.n_from > m.n_to ||
        m.n_rules > FR_IMPORT_RULES || m.n_flags > FR_IMPORT_FLAGS || !fr_import_time_format_valid(m.time_format))
        abort();
    for (int i = 0; i < m.n_rules; i++)
        if (!isfinite(m.rule[i].number) || m.rule[i].type[0] == '\0')
            abort();
    if (fr_import_time(text, m.time_format, &ms) == FR_OK && (ms < 0 || ms > (INT64_C(1) << 53)))
        abort();
    return 0;
}
