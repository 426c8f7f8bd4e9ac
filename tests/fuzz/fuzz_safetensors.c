/* Fuzz target: a safetensors file. What is accepted must be readable to its last byte and written
 * back; the reader of files must say the same of it as the parser of memory. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "models/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same bytes through a file. */
static void read_back(const char *p, size_t size, enum fr_err want)
{
    static struct fr_arena *ar;
    static int fd = -1;
    char path[] = "/tmp/fuzz-safetensors-XXXXXX";
    struct fr_tensor *t = NULL;
    void **own = NULL;
    int n = 0;

    if (fd < 0 && (fd = mkstemp(path)) >= 0)
        (void)unlink(path);
    if ((ar == NULL && fr_arena_new(1 << 16, 64u << 20, &ar) != FR_OK) || ftruncate(fd, 0) != 0 ||
        pwrite(fd, p, size, 0) != (ssize_t)size)
        abort();
    fr_arena_reset(ar);
    enum fr_err e = fr_safetensors_read(fd, size, ar, &t, &own, &n, NULL);
    for (int i = 0; e == FR_OK && i < n; i++)
        fr_free(own[i]);
    if (e != want)
        abort();
}

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
    read_back(copy, size, fault.err);
    fr_free(copy);
    return 0;
}
