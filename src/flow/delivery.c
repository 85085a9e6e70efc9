#include "flow/delivery.h"

#include "base/check.h"
#include "flow/complaints.h"
#include "runtime/event.h"

static size_t count_accounts(const struct delivery_order *order)
{
    size_t count = 0;
    for (size_t i = 0; i < order->recipient_count; i++) count += order->recipients[i].account_count;
    return count;
}

/*
 * Asked again when the message is larger than was declared; a recipient that shares its answer with
 * others keeps what was said at RCPT.
 */
MAY_YIELD static enum smtp_status_name check_size(const struct delivery_order *order, const struct intake_recipient *recipient,
                                                  millis deadline)
{
    uint64_t size_bytes = draft_bytes(order->draft);
    if (!order->answers_each || size_bytes <= recipient->checked_bytes) return SMTP_SAVED;
    enum smtp_status_name refusal = SMTP_SAVED;
    for (size_t i = 0; i < recipient->account_count; i++) {
        struct fault fault = {0};
        enum smtp_status_name status =
            intake_check_quota(order->intake, &recipient->accounts[i], size_bytes, deadline, &fault);
        if (status == SMTP_RECIPIENT_OK) return SMTP_SAVED;
        refusal = status;
    }
    return refusal;
}

static void tell(const struct delivery_order *order, const struct delivery *delivery, const struct intake_recipient *recipient,
                 struct arena *arena)
{
    view address = smtp_path_keep_text(arena, &recipient->path);
    if (delivery->code == OK)
        EVENT_EMIT(MESSAGE_DELIVERED, EVENT_ID("message", draft_message(order->draft)), EVENT_ID("account", delivery->account),
                   EVENT_TEXT("recipient", address));
    else
        EVENT_EMIT(MESSAGE_NOT_DELIVERED, EVENT_ID("message", draft_message(order->draft)), EVENT_ID("account", delivery->account),
                   EVENT_TEXT("recipient", address), EVENT_TEXT("result", view_of(result_name(delivery->code))),
                   EVENT_FAULT(&delivery->fault));
}

/* The recipient was accepted: whatever the store says to a delivery, another try may go better. */
static enum smtp_status_name status_of(result code)
{
    enum smtp_status_name status = smtp_status_of_result(code);
    return smtp_status(status)->code < 500 ? status : SMTP_STORE_UNAVAILABLE;
}

/* A recipient is served when all its accounts are. */
static void set_status(struct intake_recipient *recipient, const struct map *by_account)
{
    for (size_t i = 0; i < recipient->account_count && recipient->status == SMTP_SAVED; i++) {
        const struct delivery *delivery = map_get(by_account, id_view(&recipient->accounts[i].id));
        if (delivery->code != OK) recipient->status = status_of(delivery->code);
    }
}

void delivery_run(const struct delivery_order *order, millis deadline, struct arena *arena)
{
    size_t count = 0, count_max = count_accounts(order);
    struct map by_account = MAP_INIT;
    struct delivery *deliveries = arena_array(arena, struct delivery, count_max);
    const struct intake_recipient **recipients = arena_array(arena, const struct intake_recipient *, count_max);
    check(count_max <= DELIVERY_ACCOUNTS_MAX);
    for (size_t i = 0; i < order->recipient_count; i++) {
        struct intake_recipient *recipient = &order->recipients[i];
        recipient->status = check_size(order, recipient, deadline);
        for (size_t j = 0; j < recipient->account_count && recipient->status == SMTP_SAVED; j++) {
            if (map_get(&by_account, id_view(&recipient->accounts[j].id))) continue;
            /* The recipient's filter decides about mailbox and flags here, before anything is appended. INBOX until there is one. */
            deliveries[count].account = recipient->accounts[j].id;
            recipients[count] = recipient;
            map_put(&by_account, id_view(&deliveries[count].account), &deliveries[count]);
            count++;
        }
    }
    if (order->intake->complaints) complaints_take_in(order->intake->complaints, order, deadline);
    if (count > 0) accounts_deliver(order->intake->accounts, order->draft, deliveries, count, deadline);
    for (size_t i = 0; i < count; i++) tell(order, &deliveries[i], recipients[i], arena);
    for (size_t i = 0; i < order->recipient_count; i++) set_status(&order->recipients[i], &by_account);
    map_done(&by_account);
}

enum smtp_status_name delivery_summary(const struct delivery_order *order)
{
    size_t saved = 0;
    enum smtp_status_name failure = SMTP_SAVED;
    for (size_t i = 0; i < order->recipient_count; i++) {
        enum smtp_status_name status = order->recipients[i].status;
        if (status == SMTP_SAVED)
            saved++;
        else if (failure == SMTP_SAVED || smtp_status(status)->code < 500)
            failure = status;
    }
    if (failure == SMTP_SAVED || saved == 0 || smtp_status(failure)->code < 500) return failure;
    return SMTP_LOCAL_ERROR;
}
