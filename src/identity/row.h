/*
 * row: directory rows as JSON objects (doc/formats/directory.md). Internal to identity, and read by the commands that list.
 *
 * {"v":1, ...}. A row of a higher version is read for the keys that are known; unknown keys are kept when a row is changed.
 */
#pragma once

#include <jansson.h>

#include "identity/directory.h"

void json_done(json_t **object);                       /* CLEANUP(json_done) */
/* CORRUPT with the table and key in the fault when it is not a JSON object. The caller owns the result. */
NODISCARD result row_parse(view table, view key, view json, json_t **ret_object, struct fault *fault);
/* The text in the arena. */
view row_text(const json_t *object, struct arena *arena);
json_t *row_new(void);
/* Copies in the arena; the empty view when the key is absent or no string. */
view row_string(const json_t *object, const char *key, struct arena *arena);
/* What is no UTF-8 becomes U+FFFD, a NUL a question mark: a row can always be read again. */
void row_set_string(json_t *object, const char *key, view value);
/* `absent` when the key is not there, or no number. */
int64_t row_number(const json_t *object, const char *key, int64_t absent);
void row_set_number(json_t *object, const char *key, uint64_t value);

/* CORRUPT when what an account cannot do without is missing. */
NODISCARD result row_read_account(view key, view json, struct arena *arena, struct identity_account *ret_account, view *ret_credential, struct fault *fault);
/*
 * SCRAM keys of a password: "scram":{"keys":"{SCRAM-SHA-256}...","of":"..."}. `of` is a digest of the "password" that they belong to: a program that
 * does not know of them and changes the password keeps them, and they are void then. Without `keys` (empty) they go.
 */
void row_set_scram(json_t *object, view keys);
/* Those that hold for the password as it is, a password that is kept as such keys included; else the empty view. */
view row_scram(const json_t *object, struct arena *arena);
NODISCARD result row_read_address(view key, view json, struct arena *arena, struct identity_address *ret_address, struct fault *fault);
