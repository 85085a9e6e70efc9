#include "trust/test_vectors.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/test.h"

/* ---- a world ---- */

struct running { struct vectors vectors; void (*run)(struct vectors *v, void *argument); void *argument; };

static void run_inside(void *argument)
{
    colour_pretend_coroutine();
    colour_pretend_worker();
    struct running *r = argument;
    REQUIRE(resolver_new(&(struct resolver_options){0}, loop_family(loop_self()), &r->vectors.resolver, NULL) == OK);
    r->run(&r->vectors, r->argument);
    resolver_free(r->vectors.resolver);
}

void vectors_run(void (*run)(struct vectors *v, void *argument), void *argument)
{
    struct running r = {.run = run, .argument = argument};
    r.vectors.sim = sim_open(1);
    r.vectors.node = sim_node_new(r.vectors.sim, "a", 1);
    sim_call(r.vectors.node, 0, run_inside, &r);
    sim_close(r.vectors.sim);
}

void vectors_put_txt(struct vectors *v, view name, view text)
{
    buf record CLEANUP(buf_done) = BUF_INIT;
    do {
        view part = view_slice(text, 0, 255);
        buf_append_byte(&record, (char)part.len);
        buf_append(&record, part);
        text = view_from(text, part.len);
    } while (text.len > 0);
    sim_dns_put(v->sim, name, DNS_TXT, buf_view(&record));
}

void vectors_fix_lines(view text, buf *into)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '\n' && (i == 0 || text.at[i - 1] != '\r')) buf_append_byte(into, '\r');
        buf_append_byte(into, text.at[i]);
    }
}

void vectors_read(const char *path, bool fixes_lines, buf *into)
{
    char name[1024], piece[1024];
    if (!test_data_folder()) test_skip("no shared test data");
    snprintf(name, sizeof name, "%s/%s", test_data_folder(), path);
    FILE *f = fopen(name, "rb");
    if (!f) test_fail(__FILE__, __LINE__, "%s is not there", name), test_stop();
    buf raw CLEANUP(buf_done) = BUF_INIT;
    for (size_t got; (got = fread(piece, 1, sizeof piece, f)) > 0;) buf_append(&raw, view_make(piece, got));
    fclose(f);
    if (fixes_lines) vectors_fix_lines(buf_view(&raw), into);
    else buf_append(into, buf_view(&raw));
}

/* ---- YAML, as far as the suite uses it ---- */

struct yaml { view rest; struct arena *arena; };

static size_t indent_of(view line)
{
    size_t n = 0;
    while (n < line.len && line.at[n] == ' ') n++;
    return n;
}

static bool next_line(view *rest, view *ret_line)
{
    if (!view_cut(rest, '\n', ret_line)) return false;
    if (ret_line->len && ret_line->at[ret_line->len - 1] == '\r') ret_line->len--;
    return true;
}

/* Lines that are deeper than `indent`; '|' keeps their ends, '>' makes them one. */
static view block(struct yaml *y, size_t indent, char style)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    size_t depth = 0;
    for (view rest = y->rest, line; next_line(&rest, &line); y->rest = rest) {
        bool is_blank = view_trim(line).len == 0;
        if (!is_blank && indent_of(line) <= indent) break;
        if (!is_blank && depth == 0) depth = indent_of(line);
        if (style == '>') {
            if (text.len) buf_append_byte(&text, ' ');
            buf_append(&text, view_trim(line));
        } else {
            buf_append(&text, view_from(line, depth ? depth : line.len));
            buf_append(&text, VIEW("\n"));
        }
    }
    /* A literal ends with one line end, however many empty lines follow it. */
    while (style == '|' && text.len > 1 && view_ends(buf_view(&text), VIEW("\n\n"))) text.len--;
    return arena_keep(y->arena, buf_view(&text));
}

/* "key: value" of a line; a block is read on. */
static bool take_pair(struct yaml *y, view line, view *ret_key, view *ret_value)
{
    size_t indent = indent_of(line), colon = view_find(line, ':');
    if (colon == VIEW_NONE) return false;
    *ret_key = view_trim(view_slice(line, 0, colon));
    view value = view_trim(view_from(line, colon + 1));
    if (value.len && (value.at[0] == '|' || value.at[0] == '>')) value = block(y, indent, value.at[0]);
    else if (value.len > 1 && value.at[0] == '"') value = view_slice(value, 1, value.len - 2);
    *ret_value = value;
    return true;
}

view yaml_value(const struct yaml_case *c, const char *key)
{
    for (size_t i = 0; i < c->count; i++)
        if (view_equal(c->keys[i], view_of(key))) return c->values[i];
    return VIEW_EMPTY;
}

struct document { struct yaml_case cases[100]; size_t count; view domain, selector, private_key; };

static void take_line(struct yaml *y, struct document *d, view line, view *section)
{
    view key, value;
    size_t indent = indent_of(line);
    if (!take_pair(y, line, &key, &value)) return;
    if (indent == 0) {
        *section = key;
        if (view_equal(key, VIEW("domain"))) d->domain = value;
        if (view_equal(key, VIEW("sel"))) d->selector = value;
        if (view_equal(key, VIEW("privatekey"))) d->private_key = value;
    } else if (indent == 2 && view_equal(*section, VIEW("tests"))) {
        REQUIRE(d->count < array_size(d->cases));
        d->cases[d->count++] = (struct yaml_case){.name = key};
    } else if (d->count > 0 && view_equal(*section, VIEW("tests"))) {
        struct yaml_case *c = &d->cases[d->count - 1];
        REQUIRE(c->count < array_size(c->keys));
        c->keys[c->count] = key;
        c->values[c->count++] = value;
        if (view_equal(key, VIEW("message"))) vectors_fix_lines(value, &c->message);
    }
}

static void take_document(struct vectors *v, view text, void (*each)(struct vectors *v, const struct yaml_case *c, view domain, view selector, view private_key))
{
    struct yaml y = {text, arena_new(NULL, 64 << 20)};
    struct document *d = arena_new_struct(y.arena, struct document);
    view section = VIEW_EMPTY;
    sim_dns_clear(v->sim);
    for (view line, key, value; next_line(&y.rest, &line);) {
        if (view_trim(line).len == 0 || line.at[0] == '#') continue;
        if (indent_of(line) == 2 && view_equal(section, VIEW("txt-records")) && take_pair(&y, line, &key, &value)) vectors_put_txt(v, key, value);
        else take_line(&y, d, line, &section);
    }
    for (size_t i = 0; i < d->count; i++) {
        each(v, &d->cases[i], d->domain, d->selector, d->private_key);
        buf_done(&d->cases[i].message);
    }
    arena_free(y.arena);
}

void yaml_each(struct vectors *v, const char *path, void (*each)(struct vectors *v, const struct yaml_case *c, view domain, view selector, view private_key))
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    vectors_read(path, false, &text);
    view rest = buf_view(&text), whole = rest, line;
    const char *from = rest.at;
    while (next_line(&rest, &line))
        if (view_starts(line, VIEW("---"))) {
            take_document(v, view_make(from, (size_t)(line.at - from)), each);
            from = rest.at;
        }
    take_document(v, view_make(from, (size_t)(whole.at + whole.len - from)), each);
}
