/* status: the STATUS answer, for STATUS itself and for LIST RETURN (STATUS ...), RFC 5819. */
#pragma once

#include "imapd/session.h"

MAY_YIELD void session_tell_status(struct session *s, const struct mailbox_info *info, unsigned items);
