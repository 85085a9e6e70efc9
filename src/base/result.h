/*
 * result: how an operation ended, in one small number.
 *
 * Every fallible function returns one. What a person or a log needs to know beside it travels in a
 * struct fault (fault.h). Protocol rooms map a result to their own status codes in one table each.
 */
#pragma once

#define NODISCARD __attribute__((warn_unused_result))

typedef enum result {
    OK = 0,
    END,              /* nothing more to come: end of stream, of a scan, of a list */
    NOT_FOUND,        /* the thing named is not there */
    EXISTS,           /* the thing to be made is there already */
    INVALID,          /* input breaks its grammar or its rules */
    TOO_BIG,          /* a named limit was passed */
    OVER_QUOTA,       /* the account has no room for it */
    DENIED,           /* not permitted, or the credentials are wrong */
    BUSY,             /* somebody else holds it, or a limit of concurrency: try later */
    CONFLICT,         /* a precondition no longer holds: re-read and decide again */
    TIMEOUT,          /* the deadline passed before it was begun or while nothing was at stake */
    CANCELLED,        /* the scope was cancelled */
    UNAVAILABLE,      /* a part that it needs is down or full: try later; certainly not done */
    UNKNOWN_OUTCOME,  /* it may have been done or not, or be done later: re-read, never guess */
    CORRUPT,          /* stored bytes fail their checksum or their format */
    IO,               /* the system refused: disk, network, memory limit */
} result;

/* The name of a result in lower case with hyphens ("over-quota"), for logs and metrics. Static. */
const char *result_name(result code);
