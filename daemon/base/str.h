/*
 * daemon/base/str.h - a borrowed byte string with a length, and checked number parsing.
 *
 * Layer: lowest. No locale is consulted: number parsing is our own or strtod under the "C" locale
 *        (the process never calls setlocale).
 */
#ifndef FR_BASE_STR_H
#define FR_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "daemon/base/err.h"

/** Borrowed bytes; not NUL-terminated unless said. p may be NULL only if n == 0. */
struct fr_str {
    const char *p;
    size_t n;
};

#define FR_STR_LIT(s) ((struct fr_str){(s), sizeof(s) - 1})

/* printf: "%.*s", FR_STR_ARG(s) - only for text already validated as printable UTF-8 */
#define FR_STR_ARG(s) (int)(s).n, (s).p

static inline struct fr_str fr_str_z(const char *z)
{
    return (struct fr_str){z, z == NULL ? 0 : strlen(z)};
}

static inline bool fr_str_eq(struct fr_str a, struct fr_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool fr_str_eqz(struct fr_str a, const char *z)
{
    return fr_str_eq(a, fr_str_z(z));
}

/** The whole of `s` as a decimal number: no spaces, no leading '+', no trailing bytes.
 *  @errors FR_ESYNTAX, FR_ERANGE; *out untouched then. @thread any */
FR_MUST_CHECK enum fr_err fr_str_to_u64(struct fr_str s, uint64_t *out);
FR_MUST_CHECK enum fr_err fr_str_to_i64(struct fr_str s, int64_t *out);
/** Finite only: nan, inf and hexadecimal forms are FR_ESYNTAX; overflow is FR_ERANGE. */
FR_MUST_CHECK enum fr_err fr_str_to_f64(struct fr_str s, double *out);

/** Shortest decimal text that reads back to the same double; JSON-compatible; v must be finite.
 *  @param buf at least 32 bytes. @return length written (no NUL counted, NUL added). */
size_t fr_f64_to_str(double v, char buf[32]);

/** Smallest edit distance helper for "did you mean": index of the closest of n names, or -1 when
 *  nothing is within 3 edits. @thread any */
int fr_str_nearest(struct fr_str s, const char *const *names, int n);

#endif
