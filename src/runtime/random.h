/* random: the only source of randomness. In the simulator, seeded. Cryptographic in the program (OpenSSL). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

void random_bytes(void *into, size_t count);
uint64_t random_u64(void);
/* Uniform in [0, below); `below` > 0. */
uint64_t random_below(uint64_t below);
/* A new id: the wall clock's milliseconds, then 80 random bits. */
struct id random_id(void);
