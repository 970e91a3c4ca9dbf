#pragma once
// A C face over RE2. No call lets an exception out; where there is no memory to search with, the process ends, as it does in
// Swift. All calls but new and free may come from several threads at once.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct varve_re2 varve_re2;

// Bytes that a compiled pattern and what is kept for searching with it may take. RE2 keeps to it: a pattern that does not fit is
// refused, and a search whose states do not fit goes on without keeping them.
enum { varve_re2_memory_max = 16 << 20 };

// Null when there is no memory. What is wrong with the pattern is in varve_re2_error.
varve_re2 *varve_re2_new(const uint8_t *pattern, size_t length, bool ignoring_case);
void varve_re2_free(varve_re2 *expression);

// RE2's reason; null when the pattern is well.
const char *varve_re2_error(const varve_re2 *expression);
// Whether it is that the pattern is too large.
bool varve_re2_is_too_large(const varve_re2 *expression);

// Whether the pattern matches anywhere in the bytes. Linear in their number.
bool varve_re2_found(const varve_re2 *expression, const uint8_t *bytes, size_t length);

// Texts of at least three bytes, some of which every match holds: in lower case as RE2 has it, which is Unicode's simple case
// folding of each character. None when nothing is known.
size_t varve_re2_atom_count(const varve_re2 *expression);
const uint8_t *varve_re2_atom(const varve_re2 *expression, size_t index, size_t *length);
// Whether bytes may match in which only these atoms are. Of more atoms it is never less true.
bool varve_re2_possible(const varve_re2 *expression, const int32_t *atoms, size_t count);

#ifdef __cplusplus
}
#endif
