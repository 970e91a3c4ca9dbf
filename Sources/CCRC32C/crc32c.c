#include "CCRC32C.h"

#include <string.h>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

// Throughout, a "register" is the checksum without the inversions at both ends. It is a polynomial over GF(2)
// modulo P, reflected: bit 31 is the coefficient of x^0. Feeding a zero bit multiplies it by x; so feeding n
// zero bytes multiplies it by x^(8n) mod P, which is linear, and tabulated here by the register's bytes.

static const uint32_t polynomial = 0x82F63B78;

// Three streams hide the instruction's latency of three cycles. Long ones where there is enough input, so
// that joining them costs nothing that can be measured; short ones for what remains; and as long as there are
// words for what is too little for those, from where that is worth it.
enum { long_stream_bytes = 4096, short_stream_bytes = 256, streams_bytes_min = 96 };

// slices[k][b]: the register that byte b leaves behind after k further zero bytes.
static uint32_t slices[8][256];

typedef struct {
    uint32_t by_byte[4][256];
} zero_shift;

static zero_shift long_shift;
static zero_shift short_shift;

typedef uint32_t (*update_function)(uint32_t state, const unsigned char *bytes, size_t count);
static update_function hardware_update;
typedef uint32_t (*record_update_function)(
    uint32_t state, uint64_t first, uint64_t second, const unsigned char *bytes, size_t count);
static record_update_function hardware_record_update;

static uint32_t multiplied_by_x(uint32_t a) { return (a >> 1) ^ (a & 1 ? polynomial : 0); }

static uint32_t product(uint32_t a, uint32_t b) {
    uint32_t sum = 0;
    for (int power = 0; power < 32; power++) {
        if (b & (UINT32_C(1) << (31 - power))) {
            sum ^= a;
        }
        a = multiplied_by_x(a);
    }
    return sum;
}

// x^exponent mod P, by repeated squaring.
static uint32_t power_of_x(uint64_t exponent) {
    uint32_t result = UINT32_C(1) << 31;
    for (uint32_t square = UINT32_C(1) << 30; exponent != 0; exponent >>= 1) {
        if (exponent & 1) {
            result = product(result, square);
        }
        square = product(square, square);
    }
    return result;
}

static void make_zero_shift(zero_shift *shift, size_t zero_bytes) {
    uint32_t factor = power_of_x(8 * (uint64_t)zero_bytes);
    for (int byte = 0; byte < 4; byte++) {
        for (uint32_t value = 1; value < 256; value++) {
            // Linear: the value without its lowest bit, and that bit alone, are known before it unless they
            // are it.
            uint32_t lowest = value & -value;
            shift->by_byte[byte][value] = value == lowest
                ? product(factor, value << (8 * byte))
                : shift->by_byte[byte][value ^ lowest] ^ shift->by_byte[byte][lowest];
        }
    }
}

static uint32_t shifted(const zero_shift *shift, uint32_t state) {
    return shift->by_byte[0][state & 0xFF] ^ shift->by_byte[1][state >> 8 & 0xFF]
        ^ shift->by_byte[2][state >> 16 & 0xFF] ^ shift->by_byte[3][state >> 24];
}

static uint32_t portable_update(uint32_t state, const unsigned char *bytes, size_t count) {
    for (; count >= 8; bytes += 8, count -= 8) {
        uint32_t low = state ^ bytes[0] ^ (uint32_t)bytes[1] << 8 ^ (uint32_t)bytes[2] << 16
            ^ (uint32_t)bytes[3] << 24;
        state = slices[7][low & 0xFF] ^ slices[6][low >> 8 & 0xFF] ^ slices[5][low >> 16 & 0xFF]
            ^ slices[4][low >> 24] ^ slices[3][bytes[4]] ^ slices[2][bytes[5]] ^ slices[1][bytes[6]]
            ^ slices[0][bytes[7]];
    }
    for (; count > 0; bytes++, count--) {
        state = slices[0][(state ^ *bytes) & 0xFF] ^ state >> 8;
    }
    return state;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
// All processors with SSE4.2 but the very first ones multiply without carries too.
#define HARDWARE __attribute__((target("sse4.2,pclmul")))
#define FEED_BYTE(state, byte) _mm_crc32_u8((uint32_t)(state), (byte))
#define FEED_HALF(state, half) _mm_crc32_u32((uint32_t)(state), (half))
#define FEED_WORD(state, word) _mm_crc32_u64((state), (word))
#define PRODUCT(a, b)                                                                                        \
    ((uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(                                                       \
        _mm_cvtsi64_si128((long long)(a)), _mm_cvtsi64_si128((long long)(b)), 0)))
static int has_instructions(void) {
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define HARDWARE __attribute__((target("crc")))
#define FEED_BYTE(state, byte) __builtin_arm_crc32cb((uint32_t)(state), (byte))
#define FEED_HALF(state, half) __builtin_arm_crc32cw((uint32_t)(state), (half))
#define FEED_WORD(state, word) __builtin_arm_crc32cd((uint32_t)(state), (word))
static int has_instructions(void) {
#if defined(__APPLE__) || defined(__ARM_FEATURE_CRC32)
    return 1;
#elif defined(__linux__)
    return (getauxval(AT_HWCAP) & 1ul << 7) != 0;  // HWCAP_CRC32
#else
    return 0;
#endif
}
#endif

#ifdef HARDWARE

static inline uint64_t word_at(const unsigned char *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline uint32_t half_at(const unsigned char *bytes) {
    uint32_t half;
    memcpy(&half, bytes, sizeof half);
    return half;
}

#ifdef PRODUCT
// carries[n]: x^(64n - 33) and x^(128n - 33). The product of two registers without carries has one factor x
// more than theirs, and feeding it as a word multiplies it by x^32: so these carry a register over n words, and
// over 2n.
static uint64_t carries[3 * short_stream_bytes / 24][2];
#endif

// Three neighbouring streams of stream_bytes each, a multiple of 8. The first starts from the state and the
// others from zero: by linearity the whole is each stream's register, carried over the streams after it, all
// added up.
HARDWARE static inline __attribute__((always_inline)) uint32_t feed_three(
    uint32_t state, const unsigned char *bytes, size_t stream_bytes, const zero_shift *shift) {
    uint64_t first = state, second = 0, third = 0;
    for (size_t at = 0; at < stream_bytes; at += 8) {
        first = FEED_WORD(first, word_at(bytes + at));
        second = FEED_WORD(second, word_at(bytes + stream_bytes + at));
        third = FEED_WORD(third, word_at(bytes + 2 * stream_bytes + at));
    }
    uint32_t joined = shifted(shift, (uint32_t)first) ^ (uint32_t)second;
    return shifted(shift, joined) ^ (uint32_t)third;
}

HARDWARE static inline __attribute__((always_inline)) uint32_t fed(
    uint32_t state, const unsigned char *bytes, size_t count) {
    if (count >= 3 * short_stream_bytes) {
        // Words that cross cache lines cost a little each; bytes up to the first aligned word cost less.
        for (; (uintptr_t)bytes % 8 != 0; bytes++, count--) {
            state = FEED_BYTE(state, *bytes);
        }
        while (count >= 3 * long_stream_bytes) {
            state = feed_three(state, bytes, long_stream_bytes, &long_shift);
            bytes += 3 * long_stream_bytes;
            count -= 3 * long_stream_bytes;
        }
        while (count >= 3 * short_stream_bytes) {
            state = feed_three(state, bytes, short_stream_bytes, &short_shift);
            bytes += 3 * short_stream_bytes;
            count -= 3 * short_stream_bytes;
        }
    }
    uint64_t wide = state;
#ifdef PRODUCT
    if (count >= streams_bytes_min) {
        size_t words = count / 24;
        const unsigned char *end = bytes + 8 * words;
        uint64_t second = 0, third = 0;
        uint64_t over_one = carries[words][0], over_two = carries[words][1];
        count -= 24 * words;
        for (; bytes < end; bytes += 8) {
            wide = FEED_WORD(wide, word_at(bytes));
            second = FEED_WORD(second, word_at(bytes + 8 * words));
            third = FEED_WORD(third, word_at(bytes + 16 * words));
        }
        bytes += 16 * words;
        wide = FEED_WORD(0, PRODUCT(wide, over_two) ^ PRODUCT(second, over_one)) ^ third;
    }
#endif
    for (; count >= 8; bytes += 8, count -= 8) {
        wide = FEED_WORD(wide, word_at(bytes));
    }
    state = (uint32_t)wide;
    if (count & 4) {
        state = FEED_HALF(state, half_at(bytes));
        bytes += 4;
    }
    if (count & 2) {
        state = FEED_BYTE(FEED_BYTE(state, bytes[0]), bytes[1]);
        bytes += 2;
    }
    return count & 1 ? FEED_BYTE(state, *bytes) : state;
}

HARDWARE static uint32_t instructions_update(uint32_t state, const unsigned char *bytes, size_t count) {
    return fed(state, bytes, count);
}

HARDWARE static uint32_t instructions_record_update(
    uint32_t state, uint64_t first, uint64_t second, const unsigned char *bytes, size_t count) {
    return fed((uint32_t)FEED_WORD(FEED_WORD(state, first), second), bytes, count);
}

#endif

// Before main, so that no call has to ask whether the tables are there.
__attribute__((constructor)) static void prepare(void) {
    for (uint32_t value = 0; value < 256; value++) {
        uint32_t state = value;
        for (int bit = 0; bit < 8; bit++) {
            state = multiplied_by_x(state);
        }
        slices[0][value] = state;
    }
    for (int slice = 1; slice < 8; slice++) {
        for (int value = 0; value < 256; value++) {
            uint32_t before = slices[slice - 1][value];
            slices[slice][value] = slices[0][before & 0xFF] ^ before >> 8;
        }
    }
    make_zero_shift(&long_shift, long_stream_bytes);
    make_zero_shift(&short_shift, short_stream_bytes);
#ifdef HARDWARE
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    if (has_instructions()) {
#ifdef PRODUCT
        for (size_t words = 1; words < sizeof carries / sizeof carries[0]; words++) {
            carries[words][0] = power_of_x(64 * words - 33);
            carries[words][1] = power_of_x(128 * words - 33);
        }
#endif
        hardware_update = instructions_update;
        hardware_record_update = instructions_record_update;
    }
#endif
}

uint32_t varve_crc32c(uint32_t crc, const void *bytes, size_t count) {
    if (hardware_update != NULL) {
        return ~hardware_update(~crc, bytes, count);
    }
    return ~portable_update(~crc, bytes, count);
}

uint32_t varve_crc32c_portable(uint32_t crc, const void *bytes, size_t count) {
    return ~portable_update(~crc, bytes, count);
}

uint32_t varve_crc32c_record(
    uint32_t crc, uint64_t first, uint64_t second, const void *bytes, size_t count) {
    if (hardware_record_update != NULL) {
        return ~hardware_record_update(~crc, first, second, bytes, count);
    }
    return varve_crc32c_record_portable(crc, first, second, bytes, count);
}

uint32_t varve_crc32c_record_portable(
    uint32_t crc, uint64_t first, uint64_t second, const void *bytes, size_t count) {
    unsigned char words[16];
    for (int byte = 0; byte < 8; byte++) {
        words[byte] = (unsigned char)(first >> 8 * byte);
        words[8 + byte] = (unsigned char)(second >> 8 * byte);
    }
    return ~portable_update(portable_update(~crc, words, sizeof words), bytes, count);
}

bool varve_crc32c_hardware_available(void) { return hardware_update != NULL; }
