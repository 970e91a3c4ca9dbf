#include "CTextSearch.h"

#include <stdlib.h>
#include <string.h>

// The compiler's own vectors: SSE2 and NEON are there on every machine that this is built for.
typedef uint8_t bytes16 __attribute__((vector_size(16)));

enum { block = 64 };

struct varve_needle {
    size_t length;
    bool ignoring_case;
    // Two of its bytes that are rare in records: where both are in their place the whole is compared. A letter whose case is
    // ignored is compared with that bit set on both sides, which no other byte passes.
    size_t at[2];
    uint8_t byte[2];
    uint8_t bit[2];
    // For each length of a beginning: the longest beginning that is also its end (Knuth, Morris, Pratt).
    size_t *shorter;
    uint8_t text[];
};

static inline uint8_t lower(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte; }

// How common a byte is in records of JSON, logs and paths: the higher the rarer.
static int rarity(uint8_t byte) {
    static const char common[] = "\"e ,0t:a1ionsr2-lcd5634897.upm_fhgSEbCTvADIPRwMNyLF\\xOU/BkWVHG{}KXzjqJYQZ[]()=";
    const char *const found = byte ? strchr(common, byte) : NULL;
    return found ? (int)(found - common) : (int)sizeof common;
}

varve_needle *varve_needle_new(const uint8_t *text, size_t length, bool ignoring_case) {
    if (length == 0) return NULL;
    varve_needle *const needle = calloc(1, sizeof *needle + length);
    if (!needle) return NULL;
    needle->shorter = calloc(length, sizeof *needle->shorter);
    if (!needle->shorter) {
        free(needle);
        return NULL;
    }
    needle->length = length;
    needle->ignoring_case = ignoring_case;
    int best[2] = {-1, -1};
    for (size_t i = 0; i < length; ++i) {
        const uint8_t byte = ignoring_case ? lower(text[i]) : text[i];
        needle->text[i] = byte;
        int rare = rarity(byte);
        if (ignoring_case && byte >= 'a' && byte <= 'z') {
            const int other = rarity(byte - 0x20);
            if (other < rare) rare = other;
        }
        if (rare > best[0]) {
            best[1] = best[0];
            needle->at[1] = needle->at[0];
            best[0] = rare;
            needle->at[0] = i;
        } else if (rare > best[1]) {
            best[1] = rare;
            needle->at[1] = i;
        }
    }
    if (length == 1) needle->at[1] = needle->at[0];
    for (int i = 0; i < 2; ++i) {
        needle->byte[i] = needle->text[needle->at[i]];
        needle->bit[i] = ignoring_case && needle->byte[i] >= 'a' && needle->byte[i] <= 'z' ? 0x20 : 0;
    }
    for (size_t i = 1, same = 0; i < length; ++i) {
        while (same > 0 && needle->text[i] != needle->text[same]) same = needle->shorter[same - 1];
        if (needle->text[i] == needle->text[same]) ++same;
        needle->shorter[i] = same;
    }
    return needle;
}

void varve_needle_free(varve_needle *needle) {
    if (!needle) return;
    free(needle->shorter);
    free(needle);
}

static inline bytes16 load(const uint8_t *p) {
    bytes16 value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline bool is_any(bytes16 value) {
    uint64_t halves[2];
    memcpy(halves, &value, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}

// How many of the needle's bytes stand at p.
static size_t same_bytes(const varve_needle *needle, const uint8_t *p) {
    size_t i = 0;
    if (needle->ignoring_case) {
        while (i < needle->length && lower(p[i]) == needle->text[i]) ++i;
    } else {
        while (i < needle->length && p[i] == needle->text[i]) ++i;
    }
    return i;
}

static size_t find_linear(const varve_needle *needle, const uint8_t *bytes, size_t count, size_t from) {
    size_t same = 0;
    for (size_t p = from; p < count; ++p) {
        const uint8_t byte = needle->ignoring_case ? lower(bytes[p]) : bytes[p];
        while (same > 0 && byte != needle->text[same]) same = needle->shorter[same - 1];
        if (byte == needle->text[same] && ++same == needle->length) return p + 1 - same;
    }
    return count;
}

size_t varve_needle_find(const varve_needle *needle, const uint8_t *bytes, size_t count, size_t from) {
    const size_t length = needle->length;
    if (count < length || from > count - length) return count;
    const size_t end = count - length + 1;  // Of the places where it may begin.
    const size_t at0 = needle->at[0], at1 = needle->at[1];
    const uint8_t byte0 = needle->byte[0], byte1 = needle->byte[1], bit0 = needle->bit[0], bit1 = needle->bit[1];
    const bytes16 zero = {0};
    const bytes16 all0 = zero + byte0, all1 = zero + byte1, bits0 = zero + bit0, bits1 = zero + bit1;
    // Bytes that were compared in vain. Where those are many more than were passed, the text is made for that.
    size_t vain = 0;
    size_t p = from;
    while (p < end) {
        size_t stop = end;
        if (end - p >= block) {
            const uint8_t *const a = bytes + p + at0;
            const uint8_t *const b = bytes + p + at1;
            bytes16 found = zero;
            for (size_t i = 0; i < block; i += sizeof(bytes16)) {
                found |= (bytes16)((load(a + i) | bits0) == all0) & (bytes16)((load(b + i) | bits1) == all1);
            }
            if (!is_any(found)) {
                p += block;
                continue;
            }
            stop = p + block;
        }
        for (; p < stop; ++p) {
            if ((bytes[p + at0] | bit0) != byte0 || (bytes[p + at1] | bit1) != byte1) continue;
            const size_t same = same_bytes(needle, bytes + p);
            if (same == length) return p;
            vain += same;
        }
        if (vain > 256 + 8 * (p - from)) return find_linear(needle, bytes, count, p);
    }
    return count;
}

// The value of a hexadecimal digit, or more than 15.
static inline unsigned digit(uint8_t byte) {
    const unsigned number = (unsigned)byte - '0';
    if (number < 10) return number;
    const unsigned letter = (unsigned)(byte | 0x20) - 'a';
    return letter < 6 ? letter + 10 : 16;
}

size_t varve_unit_find(const uint64_t *units, const uint8_t *bytes, size_t count, size_t from) {
    enum { escape = 6 };
    if (count < escape) return count;
    const size_t end = count - escape + 1;
    const bytes16 zero = {0};
    const bytes16 backslashes = zero + '\\', letters = zero + 'u';
    for (size_t p = from; p < end;) {
        size_t stop = end;
        if (end - p >= block) {
            bytes16 found = zero;
            for (size_t i = 0; i < block; i += sizeof(bytes16)) {
                found |= (bytes16)(load(bytes + p + i) == backslashes) & (bytes16)(load(bytes + p + i + 1) == letters);
            }
            if (!is_any(found)) {
                p += block;
                continue;
            }
            stop = p + block;
        }
        for (; p < stop; ++p) {
            if (bytes[p] != '\\' || bytes[p + 1] != 'u') continue;
            const unsigned a = digit(bytes[p + 2]), b = digit(bytes[p + 3]), c = digit(bytes[p + 4]),
                           d = digit(bytes[p + 5]);
            if ((a | b | c | d) > 15) continue;
            const unsigned unit = a << 12 | b << 8 | c << 4 | d;
            if (units[unit >> 6] >> (unit & 63) & 1) return p;
        }
    }
    return count;
}
