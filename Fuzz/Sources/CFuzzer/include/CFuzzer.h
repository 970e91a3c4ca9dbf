#ifndef CFUZZER_H
#define CFUZZER_H

#include <stddef.h>
#include <stdint.h>

/// libFuzzer's driver. Returns its exit status; a finding ends the process.
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *bytes, size_t count));

/// libFuzzer's own mutation, in place; returns the new count.
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t count, size_t count_max);

/// Changes an input in place; returns the new count.
typedef size_t (*varve_fuzz_mutator)(uint8_t *bytes, size_t count, size_t count_max, unsigned int seed);

/// Puts a mutation in the place of libFuzzer's own.
void varve_fuzz_set_mutator(varve_fuzz_mutator mutator);

/// Watches allocations from now on, of all threads.
void varve_fuzz_watch_allocations(void);

/// The largest allocation since the last call, in bytes.
size_t varve_fuzz_take_largest_allocation(void);

/// Says what was expected and not so, and ends the process. An optimised trap has no message.
_Noreturn void varve_fuzz_finding(const uint8_t *text, size_t count);

#endif
