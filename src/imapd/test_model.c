#include "imapd/test_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cursor.h"

void model_clear(struct model *m)
{
    m->count = 0;
    m->expunged = 0;
}

void model_done(struct model *m)
{
    free(m->messages);
    *m = (struct model){0};
}

static bool wrong(view line, const char *why)
{
    printf("# %s: " VIEW_FMT "\n", why, VIEW_ARG(line));
    fprintf(stderr, "%s: " VIEW_FMT "\n", why, VIEW_ARG(line));
    return false;
}

static bool hear_exists(struct model *m, uint32_t count, view line)
{
    if (count < m->count) return wrong(line, "EXISTS went down");
    if (count > m->capacity) {
        m->capacity = count * 2;
        m->messages = realloc(m->messages, m->capacity * sizeof *m->messages);
        check(m->messages);
    }
    for (; m->count < count; m->count++) m->messages[m->count] = (struct model_message){0, MODEL_FLAGS_UNKNOWN};
    return true;
}

static bool hear_expunge(struct model *m, uint32_t number, view line)
{
    if (!m->may_expunge) return wrong(line, "EXPUNGE where none may be");
    if (number == 0 || number > m->count) return wrong(line, "EXPUNGE of what is not there");
    memmove(&m->messages[number - 1], &m->messages[number], (m->count - number) * sizeof *m->messages);
    m->count--;
    m->expunged++;
    return true;
}

static uint32_t read_flags(view list)
{
    static const char *const names[] = {MODEL_FLAG_NAMES};
    uint32_t flags = 0;
    view name;
    while (view_cut(&list, ' ', &name))
        for (size_t i = 0; i < array_size(names); i++)
            if (view_equal_nocase(name, view_of(names[i]))) flags |= 1u << i;
    return flags;
}

static bool is_before_order(const struct model *m, uint32_t number, uint32_t uid)
{
    for (uint32_t i = number - 1; i > 0; i--)
        if (m->messages[i - 1].uid) return m->messages[i - 1].uid < uid;
    return true;
}

/* UID is read when it comes first, which strings cannot forge. */
static bool hear_fetch(struct model *m, uint32_t number, view items, view line)
{
    if (number == 0 || number > m->count) return wrong(line, "FETCH of what is not there");
    struct model_message *message = &m->messages[number - 1];
    size_t end = view_find(items, '{');
    if (end != VIEW_NONE) items = view_slice(items, 0, end);
    if (view_starts(items, VIEW("FETCH (UID "))) {
        struct cursor c = cursor_of(view_from(items, 11));
        uint32_t uid;
        if (!take_number32(&c, &uid)) return wrong(line, "no UID");
        if (message->uid && message->uid != uid) return wrong(line, "another UID than before");
        if (!is_before_order(m, number, uid)) return wrong(line, "UIDs out of order");
        message->uid = uid;
    }
    size_t at = view_find_view(items, VIEW("FLAGS ("));
    if (at != VIEW_NONE) {
        view list = view_from(items, at + 7);
        message->flags = read_flags(view_slice(list, 0, view_find(list, ')')));
    }
    return true;
}

bool model_hear(struct model *m, view line)
{
    struct cursor c = cursor_of(line);
    uint32_t number;
    if (!take_view(&c, VIEW("* ")) || !take_number32(&c, &number) || !take_byte(&c, ' ')) return true;
    if (view_equal(c.rest, VIEW("EXISTS"))) return hear_exists(m, number, line);
    if (view_equal(c.rest, VIEW("EXPUNGE"))) return hear_expunge(m, number, line);
    if (view_starts(c.rest, VIEW("FETCH ("))) return hear_fetch(m, number, c.rest, line);
    return true;
}
