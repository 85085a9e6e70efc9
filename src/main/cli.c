/*
 * cli: from words on a command line to a verb and its request.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/view.h"
#include "main/verb.h"

enum { ARENA_BYTES_MAX = 16 << 20, EXIT_USAGE = 2, STDIN_LINE_BYTES_MAX = 2048 };

static void show_argument(const struct verb_argument *a, FILE *out)
{
    char left[64];
    snprintf(left, sizeof left, "%s%s%s", a->name, a->value ? " " : "", a->value ? a->value : "");
    fprintf(out, "  %-24s %s\n", left, a->help);
}

static void show_usage(const struct verb *v, FILE *out)
{
    fprintf(out, "tayori %s%s%s", v->noun, v->verb ? " " : "", v->verb ? v->verb : "");
    for (const struct verb_argument *a = v->arguments; a->name; a++) {
        const char *value = a->value ? a->value : "";
        if (a->name[0] == '-' && !a->is_required) fprintf(out, " [%s%s%s]", a->name, *value ? " " : "", value);
        else fprintf(out, " %s%s%s%s", a->name, *value ? " " : "", value, a->is_many ? " ..." : "");
    }
    fputc('\n', out);
}

static bool has_common_options(const struct verb *v)
{
    return v->command || v->run == verb_serve || v->run == verb_config_check || v->run == verb_config_show || v->run == verb_store_restore || v->run == verb_cluster_init;
}

static bool has_json(const struct verb *v) { return v->command || v->run == verb_cluster_init; }

void verb_show_help(const struct verb *v, FILE *out)
{
    fprintf(out, "%s\n\n  ", v->help);
    show_usage(v, out);
    fputc('\n', out);
    for (const struct verb_argument *a = v->arguments; a->name; a++) show_argument(a, out);
    if (has_common_options(v)) {
        fprintf(out, "  %-24s %s\n", "--dir DIR", "folder of the store and the control socket; default ./var");
        fprintf(out, "  %-24s %s\n", "--config FILE", "the server's configuration file");
    }
    if (has_json(v)) fprintf(out, "  %-24s %s\n", "--json", "one JSON object a line instead of a table");
    fprintf(out, "\nMore in the manual: tayori man %s\n", v->noun);
}

void verb_show_noun(const char *noun, FILE *out)
{
    for (size_t i = 0; i < verb_count; i++) {
        if (strcmp(verbs[i].noun, noun) != 0) continue;
        fprintf(out, "  ");
        show_usage(&verbs[i], out);
        fprintf(out, "      %s\n", verbs[i].help);
    }
}

void verb_show_all(FILE *out)
{
    fprintf(out, "tayori: the mail service of an Internet provider as one program\n\n");
    for (size_t i = 0; i < verb_count; i++) {
        char words[64];
        snprintf(words, sizeof words, "%s%s%s", verbs[i].noun, verbs[i].verb ? " " : "", verbs[i].verb ? verbs[i].verb : "");
        fprintf(out, "  %-20s %s\n", words, verbs[i].help);
    }
    fprintf(out, "\nEach has --help. Commands talk to the server that runs in --dir, and open the store themselves when none does.\n");
}

__attribute__((format(printf, 2, 3))) static int usage(const struct verb *v, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "tayori: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nusage: ");
    show_usage(v, stderr);
    return EXIT_USAGE;
}

static const char *absolute_path(struct arena *arena, const char *path)
{
    char *folder = *path == '/' ? NULL : getcwd(NULL, 0);
    const char *absolute = folder ? arena_cstr(arena, arena_printf(arena, "%s/%s", folder, path)) : arena_cstr(arena, view_of(path));
    free(folder);
    return absolute;
}

/* The first line of standard input without its end. */
static bool read_stdin(char *line, size_t size)
{
    if (!fgets(line, (int)size, stdin)) return false;
    line[strcspn(line, "\r\n")] = '\0';
    return true;
}

static int set_argument(struct invocation *call, const struct verb_argument *a, const char *word)
{
    json_t *value = NULL;
    uint64_t number;
    char line[STDIN_LINE_BYTES_MAX] = "";
    switch (a->kind) {
    case ARGUMENT_FLAG: value = json_true(); break;
    case ARGUMENT_NUMBER:
        if (!view_to_u64(view_of(word), &number) || number > INT_MAX) return usage(call->verb, "%s \"%s\": expected a number", a->name, word);
        value = json_integer((json_int_t)number);
        break;
    case ARGUMENT_STDIN:
        if (!read_stdin(line, sizeof line)) return usage(call->verb, "%s: standard input is empty", a->name);
        value = json_string(line);
        explicit_bzero(line, sizeof line);
        break;
    case ARGUMENT_PATH: value = json_string(absolute_path(call->arena, word)); break;
    case ARGUMENT_TEXT: value = json_string(word); break;
    }
    if (!value) return usage(call->verb, "%s: expected UTF-8", a->name);
    if (!a->is_many) {
        json_object_set_new(call->request, a->key, value);
        return 0;
    }
    json_t *list = json_object_get(call->request, a->key);
    if (!list) {
        list = json_array();
        json_object_set_new(call->request, a->key, list);
    }
    json_array_append_new(list, value);
    return 0;
}

static const struct verb_argument *find_option(const struct verb *v, view name)
{
    for (const struct verb_argument *a = v->arguments; a->name; a++)
        if (a->name[0] == '-' && view_equal(view_of(a->name), name)) return a;
    return NULL;
}

/* The next positional that has no value yet, or takes many. */
static const struct verb_argument *find_positional(const struct invocation *call)
{
    for (const struct verb_argument *a = call->verb->arguments; a->name; a++)
        if (a->name[0] != '-' && (a->is_many || !json_object_get(call->request, a->key))) return a;
    return NULL;
}

/* One option with its value; *at is on the option and ends on the last word used. Exit status, or 0. */
static int take_option(struct invocation *call, int count, char **words, int *at)
{
    view name = view_of(words[*at]), whole = name;
    const char *value = NULL;
    if (view_cut(&whole, '=', &name) && name.len < strlen(words[*at])) value = words[*at] + name.len + 1;
    const struct verb_argument *a = find_option(call->verb, name);
    bool is_common = view_equal(name, VIEW("--dir")) || view_equal(name, VIEW("--config"));
    if (view_equal(name, VIEW("--json")) && has_json(call->verb)) return call->wants_json = true, 0;
    if (!a && !is_common) return usage(call->verb, "unknown option %s", words[*at]);
    bool wants_value = is_common || (a->kind != ARGUMENT_FLAG && a->kind != ARGUMENT_STDIN);
    if (wants_value && !value) {
        if (*at + 1 >= count) return usage(call->verb, "%s: expected a value", words[*at]);
        value = words[++*at];
    }
    if (view_equal(name, VIEW("--dir"))) return call->folder = absolute_path(call->arena, value), 0;
    if (view_equal(name, VIEW("--config"))) return call->config_file = absolute_path(call->arena, value), 0;
    return set_argument(call, a, value);
}

static int take_words(struct invocation *call, int count, char **words)
{
    bool only_positionals = false;
    for (int at = 0; at < count; at++) {
        int status = 0;
        if (!only_positionals && strcmp(words[at], "--") == 0) {
            only_positionals = true;
        } else if (!only_positionals && (strcmp(words[at], "--help") == 0 || strcmp(words[at], "-h") == 0)) {
            verb_show_help(call->verb, stdout);
            return -1;
        } else if (!only_positionals && words[at][0] == '-' && words[at][1] == '-') {
            status = take_option(call, count, words, &at);
        } else {
            const struct verb_argument *a = find_positional(call);
            status = a ? set_argument(call, a, words[at]) : usage(call->verb, "\"%s\" is one word too many", words[at]);
        }
        if (status) return status;
    }
    for (const struct verb_argument *a = call->verb->arguments; a->name; a++)
        if (a->is_required && !json_object_get(call->request, a->key)) return usage(call->verb, "expected %s", a->name);
    return 0;
}

/* How many words of the line are the verb, which may have two itself ("dkim create"); 0: it is not there. */
static int count_verb_words(const char *verb, int count, char **words)
{
    view rest = view_of(verb), word;
    int used = 0;
    while (view_cut(&rest, ' ', &word)) {
        if (used == count || !view_equal(view_of(words[used]), word)) return 0;
        used++;
    }
    return used;
}

static const struct verb *find_verb(int count, char **words, int *ret_used)
{
    for (size_t i = 0; i < verb_count; i++) {
        const struct verb *v = &verbs[i];
        if (strcmp(words[0], v->noun) != 0) continue;
        int used = v->verb ? count_verb_words(v->verb, count - 1, words + 1) : 0;
        if (v->verb && used == 0) continue;
        *ret_used = 1 + used;
        return v;
    }
    return NULL;
}

static int unknown(int count, char **words)
{
    bool is_noun = false;
    for (size_t i = 0; i < verb_count; i++) is_noun = is_noun || strcmp(words[0], verbs[i].noun) == 0;
    bool asks = count > 1 && (strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0);
    FILE *out = asks ? stdout : stderr;
    if (!is_noun) {
        fprintf(stderr, "tayori: unknown command \"%s\"; tayori --help lists all\n", words[0]);
        return EXIT_USAGE;
    }
    if (!asks) fprintf(stderr, "tayori: expected one of these:\n");
    verb_show_noun(words[0], out);
    return asks ? 0 : EXIT_USAGE;
}

int main(int count, char **words)
{
    if (count < 2 || strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0 || strcmp(words[1], "help") == 0) {
        verb_show_all(count < 2 ? stderr : stdout);
        return count < 2 ? EXIT_USAGE : 0;
    }
    if (strcmp(words[1], "--version") == 0) return verb_version(NULL);
    int used = 0;
    struct invocation call = {.verb = find_verb(count - 1, words + 1, &used)};
    if (!call.verb) return unknown(count - 1, words + 1);
    call.arena = arena_new(NULL, ARENA_BYTES_MAX);
    call.request = json_object();
    int status = take_words(&call, count - 1 - used, words + 1 + used);
    if (status == 0) {
        if (!call.folder) call.folder = absolute_path(call.arena, "var");
        if (call.verb->command) json_object_set_new(call.request, "command", json_string(call.verb->command));
        status = call.verb->run ? call.verb->run(&call) : verb_request(&call);
    }
    json_decref(call.request);
    arena_free(call.arena);
    return status == -1 ? 0 : status;
}
