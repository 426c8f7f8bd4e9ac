/*
 * tests/support/xml_check.h - is this text well-formed XML 1.0? A strict reader of the part that our
 * pictures use: elements, quoted attributes, text, the five entities and numbers. No comments,
 * declarations, CDATA. Shares no code with the writer.
 */
#ifndef FR_TESTS_SUPPORT_XML_CHECK_H
#define FR_TESTS_SUPPORT_XML_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/** @param why  what is wrong and where. */
bool xml_well_formed(const char *text, size_t n, char why[160]);

/** How often `what` occurs. */
size_t xml_count(const char *text, const char *what);

#endif
