/* Fuzz target: a safetensors file. What is accepted must be readable to its last byte and written
 * back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fr_arena *ar;
    struct fr_tensor *t = NULL;
    struct fr_fault fault = {0};
    struct fr_buf b;
    int n = 0;
    char *copy = fr_malloc_array(size + 1, 1); /* its own block: ASan sees any over-read */

    if (copy == NULL || (ar == NULL && fr_arena_new(1 << 16, 64u << 20, &ar) != FR_OK))
        abort();
    memcpy(copy, data, size);
    fr_arena_reset(ar);
    if (fr_safetensors_parse((struct fr_str){copy, size}, ar, &t, &n, &fault) == FR_OK) {
        fr_buf_init(&b);
        if (n > 0 && fr_safetensors_write(t, n, &b) != FR_OK)
            abort();
        fr_buf_done(&b);
    } else if (fault.err == FR_OK || fault.msg[0] == '\0') {
        abort(); /* a refusal without a reason */
    }
    fr_free(copy);
    return 0;
}
