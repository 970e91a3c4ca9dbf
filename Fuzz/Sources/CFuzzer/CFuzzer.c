#include "CFuzzer.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static varve_fuzz_mutator current_mutator;

void varve_fuzz_set_mutator(varve_fuzz_mutator mutator) { current_mutator = mutator; }

// libFuzzer looks for this name.
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t count, size_t count_max, unsigned int seed) {
    return current_mutator ? current_mutator(bytes, count, count_max, seed)
                           : LLVMFuzzerMutate(bytes, count, count_max);
}

static atomic_size_t largest_allocation;

// Of the sanitizers' interface.
int __sanitizer_install_malloc_and_free_hooks(void (*allocated)(const volatile void *, size_t),
                                              void (*freed)(const volatile void *));

static void allocated(const volatile void *address, size_t count) {
    (void)address;
    size_t largest = atomic_load_explicit(&largest_allocation, memory_order_relaxed);
    while (count > largest &&
           !atomic_compare_exchange_weak_explicit(&largest_allocation, &largest, count, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

static void freed(const volatile void *address) { (void)address; }

void varve_fuzz_watch_allocations(void) { __sanitizer_install_malloc_and_free_hooks(allocated, freed); }

size_t varve_fuzz_take_largest_allocation(void) {
    return atomic_exchange_explicit(&largest_allocation, 0, memory_order_relaxed);
}

void varve_fuzz_finding(const uint8_t *text, size_t count) {
    fprintf(stderr, "not so: %.*s\n", (int)count, (const char *)text);
    abort();
}
