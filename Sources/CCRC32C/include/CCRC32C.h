// CRC-32C (Castagnoli): reflected polynomial 0x82F63B78, initial value and final xor all ones.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The checksum of `count` bytes, going on from `crc`, the checksum of the bytes before them (0 for none):
/// varve_crc32c(varve_crc32c(0, a), b) is the checksum of a and b together. `bytes` may be null if `count` is
/// 0. Any thread may call. Uses the processor's instructions where it has them.
uint32_t varve_crc32c(uint32_t crc, const void *bytes, size_t count);

/// The same in portable C, on any processor.
uint32_t varve_crc32c_portable(uint32_t crc, const void *bytes, size_t count);

/// The checksum of two words, each as eight bytes with the lowest first, and of `count` bytes after them, going on
/// from `crc`: in one call, for records with a short header of their own.
uint32_t varve_crc32c_record(uint32_t crc, uint64_t first, uint64_t second, const void *bytes, size_t count);

/// The same in portable C, on any processor.
uint32_t varve_crc32c_record_portable(
    uint32_t crc, uint64_t first, uint64_t second, const void *bytes, size_t count);

/// Whether varve_crc32c uses the processor's instructions.
bool varve_crc32c_hardware_available(void);

#ifdef __cplusplus
}
#endif
