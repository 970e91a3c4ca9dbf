#include "CCRC32C.h"
uint32_t varve_crc32c(uint32_t crc, const void *bytes, size_t count) {
    const uint8_t *b = bytes;
    crc = ~crc;
    for (size_t i = 0; i < count; i++) {
        crc ^= b[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (0x82F63B78u & -(crc & 1));
    }
    return ~crc;
}
