/* What an MX says to users of ours who try to send by port 25 without a password, and that an operator gets to know of them. */
#include "flow/legacy.h"

#include "runtime/clock.h"
#include "runtime/event.h"
#include "smtpd/session.h"

enum { STORE_MS = 5000 };

/* The account whose address the sender is. */
MAY_YIELD static bool find_sender(struct smtp_session *s, view address, struct identity_account *ret_account)
{
    const struct intake *intake = &s->smtpd->intake;
    struct identity_address found;
    millis deadline = clock_in(STORE_MS);
    if (s->transaction.sender.is_null || identity_find_address(intake->identity, address, deadline, s->scratch, &found, NULL) != OK) return false;
    if (found.kind != ADDRESS_ACCOUNT || found.is_catch_all) return false;
    return identity_find_account(intake->identity, found.account, deadline, s->scratch, ret_account, NULL) == OK;
}

MAY_YIELD static void note(struct smtp_session *s, view key, view who)
{
    struct fault fault = {0};
    char peer[ADDRESS_TEXT_MAX];
    if (!legacy_is_due(&s->home->legacy, key)) return;
    EVENT_EMIT(LEGACY_SUBMISSION, EVENT_ID("session", s->id), EVENT_TEXT("account", who), EVENT_TEXT("peer", address_text(&s->peer, peer)));
    if (legacy_note(accounts_engine(s->smtpd->intake.accounts), key, who, &s->peer, clock_in(STORE_MS), &fault) != OK)
        EVENT_EMIT(LEGACY_NOT_NOTED, EVENT_ID("session", s->id), EVENT_FAULT(&fault));
}

view legacy_refusal(struct smtp_session *s)
{
    const struct smtpd_options *o = smtp_session_options(s);
    struct identity_account account = {0};
    char peer[ADDRESS_TEXT_MAX], id[ID_TEXT_LEN + 1];
    bool is_ours = legacy_is_ours(o->own_networks, o->own_network_count, &s->peer), is_known = find_sender(s, smtp_path_keep_text(s->scratch, &s->transaction.sender), &account);
    if (s->kind != SMTPD_MX || (!is_ours && !is_known)) return VIEW_EMPTY;
    if (is_known) note(s, id_text(account.id, id), account.address);
    else note(s, arena_printf(s->scratch, "address " VIEW_FMT, VIEW_ARG(address_text(&s->peer, peer))), VIEW_EMPTY);
    return arena_printf(s->scratch, "Mail is sent with user name and password: set your mail program to port 465 (TLS) or 587 (STARTTLS)%s" VIEW_FMT,
                        o->legacy_help.len ? "; see " : "", VIEW_ARG(o->legacy_help));
}
