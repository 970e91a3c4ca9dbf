#pragma once
// Looks for bytes among bytes, at the speed of memory where the text is rare, and in linear time always.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct varve_needle varve_needle;

// Of at least one byte. Where case is ignored it is that of ASCII letters. Null when there is no memory.
varve_needle *varve_needle_new(const uint8_t *text, size_t length, bool ignoring_case);
void varve_needle_free(varve_needle *needle);

// Where it stands first, at or after `from`; the count when it doesn't. Reads nothing but the bytes; any threads may call at once.
size_t varve_needle_find(const varve_needle *needle, const uint8_t *bytes, size_t count, size_t from);

// Where the first JSON escape of a number stands (\u and four digits) whose UTF-16 unit is in the set: a bit for each of 65,536.
size_t varve_unit_find(const uint64_t *units, const uint8_t *bytes, size_t count, size_t from);
