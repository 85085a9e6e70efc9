/*
 * scram: the messages of SCRAM (RFC 5802 §5, §7), once out of their base64: a client's, judged strictly, and a server's, written. Which hash it is
 * is the mechanism's matter (RFC 7677: SHA-256). Pure; never yields.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

enum {
    SCRAM_MESSAGE_BYTES_MAX = 4096,      /* three times the longest address, with a nonce of the length that libraries make */
    SCRAM_NAME_BYTES_MAX = 1024,         /* of a user, as long as PLAIN's */
    SCRAM_NONCE_BYTES_MAX = 512,         /* of a client; libraries make 18 to 64 */
    SCRAM_EXTENSIONS_MAX = 16,           /* §5.1: unknown ones are ignored */
    SCRAM_PROOF_BYTES = 32,              /* SHA-256's */
    SCRAM_BINDING_BYTES_MAX = 1024,      /* of channel binding data, as they come back */
};

enum scram_binding {
    SCRAM_BINDS_NOT,                     /* "n": the client cannot */
    SCRAM_BINDS_IF_SERVER_COULD,         /* "y": it could, and believes that we cannot */
    SCRAM_BINDS,                         /* "p=": it does */
};

/* Views point into the message, or into the arena where something was decoded. */
struct scram_first {
    enum scram_binding binding;
    view binding_name;                   /* "tls-exporter"; of SCRAM_BINDS */
    view authorization;                  /* a=; empty: none */
    view header;                         /* gs2-header, which comes back in c= */
    view bare;                           /* client-first-message-bare */
    view user;                           /* not empty */
    view nonce;
};
bool scram_first_parse(view message, struct arena *arena, struct scram_first *ret_first);

struct scram_final {
    view binding;                        /* c=, decoded */
    view nonce;
    view without_proof;
    unsigned char proof[SCRAM_PROOF_BYTES];
};
bool scram_final_parse(view message, struct arena *arena, struct scram_final *ret_final);

/* server-first-message: the client's nonce with ours behind it, salt and iterations. */
void scram_server_first_append(buf *into, view client_nonce, view server_nonce, view salt, uint32_t iterations);
/* server-final-message: the verifier. */
void scram_server_final_append(buf *into, view signature);
