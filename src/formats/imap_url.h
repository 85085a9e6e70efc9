/*
 * imap_url: URLs of messages and their parts in the same account (RFC 5092), as CATENATE (RFC 4469 §3) names them.
 */
#pragma once

#include "base/arena.h"
#include "formats/imap.h"

struct imap_url {
    bool has_mailbox;                   /* else the selected one */
    view mailbox;                       /* UTF-8 as it stands in the store, but for INBOX's case */
    uint32_t uid_validity;              /* 0: none given */
    uint32_t uid;
    struct imap_fetch_item item;        /* the section and part of it, as of FETCH */
};

/*
 * imessagepart = [enc-mailbox [";UIDVALIDITY=" nz-number]] "/;UID=" nz-number ["/;SECTION=" enc-section] ["/;PARTIAL=" number ["." nz-number]]
 * with an optional slash in front; nothing with a scheme or a host. INVALID.
 */
NODISCARD result imap_url_parse(view url, struct arena *arena, struct imap_url *ret_url);
