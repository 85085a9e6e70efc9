/*
 * Listening sockets, and how they outlive the program: TAYORI_LISTEN holds a line for each, "<descriptor> <name>\n", where
 * the name says what listener_options asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "runtime/uv/listener_private.h"
#include "runtime/uv/stream_private.h"

enum { BACKLOG = 4096, INHERITED_MAX = 256 };

static const char variable[] = "TAYORI_LISTEN";

struct inherited { int fd; char *name; };

static struct {
    pthread_mutex_t lock;
    struct list open;
    struct inherited inherited[INHERITED_MAX];
    size_t inherited_count;
    bool has_read;                 /* the variable */
} sockets = {.lock = PTHREAD_MUTEX_INITIALIZER, .open = {&sockets.open, &sockets.open}};

static void append_name(const struct listener_options *o, buf *into)
{
    char text[ADDRESS_TEXT_MAX];
    if (o->path) {
        buf_appendf(into, "local %s", o->path);
        return;
    }
    view address = address_text(&o->address, text);
    buf_appendf(into, "tcp " VIEW_FMT " %u", VIEW_ARG(address), o->address.port);
}

/* --- inheritance --- */

static bool is_listening(int fd)
{
    int listening = 0;
    socklen_t len = sizeof listening;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening;
}

/* Under the lock. */
static void read_variable(void)
{
    if (sockets.has_read) return;
    sockets.has_read = true;
    view rest = view_of(getenv(variable)), line;
    while (view_cut(&rest, '\n', &line) && sockets.inherited_count < INHERITED_MAX) {
        view number;
        uint32_t fd;
        if (!view_cut(&line, ' ', &number) || !view_to_u32(number, &fd) || fd > INT32_MAX || !is_listening((int)fd)) continue;
        char *name = strndup(line.at, line.len);
        check(name != NULL);
        fcntl((int)fd, F_SETFD, FD_CLOEXEC);
        sockets.inherited[sockets.inherited_count++] = (struct inherited){(int)fd, name};
    }
}

static int take_inherited(const struct listener_options *options)
{
    int fd = -1;
    CLEANUP(buf_done) buf name = BUF_INIT;
    append_name(options, &name);
    pthread_mutex_lock(&sockets.lock);
    read_variable();
    for (size_t i = 0; i < sockets.inherited_count && fd < 0; i++) {
        struct inherited *each = &sockets.inherited[i];
        if (!view_equal(view_of(each->name), buf_view(&name))) continue;
        fd = each->fd;
        free(each->name);
        *each = sockets.inherited[--sockets.inherited_count];
    }
    pthread_mutex_unlock(&sockets.lock);
    return fd;
}

void listener_forget_inherited(void)
{
    pthread_mutex_lock(&sockets.lock);
    read_variable();
    while (sockets.inherited_count > 0) {
        struct inherited *last = &sockets.inherited[--sockets.inherited_count];
        close(last->fd);
        free(last->name);
    }
    unsetenv(variable);
    pthread_mutex_unlock(&sockets.lock);
}

void listener_bequeath(void)
{
    CLEANUP(buf_done) buf text = BUF_INIT;
    pthread_mutex_lock(&sockets.lock);
    list_each (node, &sockets.open) {
        struct listener *l = container_of(node, struct listener, node);
        l->is_bequeathed = true;
        fcntl(l->fd, F_SETFD, 0);
        buf_appendf(&text, "%d ", l->fd);
        append_name(&l->options, &text);
        buf_append_byte(&text, '\n');
    }
    buf_append_byte(&text, '\0');
    setenv(variable, text.at, 1);
    pthread_mutex_unlock(&sockets.lock);
}

void listener_register(struct listener *l)
{
    pthread_mutex_lock(&sockets.lock);
    list_append(&sockets.open, &l->node);
    pthread_mutex_unlock(&sockets.lock);
}

bool listener_unregister(struct listener *l)
{
    pthread_mutex_lock(&sockets.lock);
    list_remove(&l->node);
    bool is_bequeathed = l->is_bequeathed;
    pthread_mutex_unlock(&sockets.lock);
    return is_bequeathed;
}

/* --- new sockets --- */

/* A socket file that nobody listens on any more is removed; anything else stays, and the bind fails. */
static void remove_stale(const struct sockaddr_un *un)
{
    struct stat s;
    if (lstat(un->sun_path, &s) != 0 || !S_ISSOCK(s.st_mode)) return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    if (connect(fd, (const void *)un, sizeof *un) != 0 && errno == ECONNREFUSED) unlink(un->sun_path);
    close(fd);
}

static result bind_path(int fd, const char *path, struct fault *fault)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof un.sun_path) return fail(fault, INVALID, "%s: longer than a local socket's name may be", path);
    memcpy(un.sun_path, path, strlen(path));
    remove_stale(&un);
    /* Linux gives the file the mode of the unbound socket, so there is no moment in which others may connect. */
    fchmod(fd, 0600);
    if (bind(fd, (void *)&un, sizeof un) != 0) return fail(fault, UNAVAILABLE, "listen on %s: %s", path, strerrorname_np(errno));
    return OK;
}

static result bind_address(int fd, const struct address *address, struct fault *fault)
{
    struct sockaddr_storage system;
    char text[ADDRESS_TEXT_MAX];
    int on = 1;
    unsigned len = address_to_system(address, &system);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);     /* inherited by what is accepted */
    if (address->family == 6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, (void *)&system, len) == 0) return OK;
    view shown = address_text(address, text);
    return fail(fault, errno == EADDRINUSE ? EXISTS : UNAVAILABLE, "listen on " VIEW_FMT " port %u: %s", VIEW_ARG(shown),
                address->port, strerrorname_np(errno));
}

result listener_socket(const struct listener_options *options, int *ret_fd, struct fault *fault)
{
    int fd = take_inherited(options);
    if (fd >= 0) {
        *ret_fd = fd;
        return OK;
    }
    int family = options->path ? AF_UNIX : options->address.family == 6 ? AF_INET6 : AF_INET;
    fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return fail(fault, UNAVAILABLE, "socket: %s", strerrorname_np(errno));
    result r = options->path ? bind_path(fd, options->path, fault) : bind_address(fd, &options->address, fault);
    if (r == OK && listen(fd, BACKLOG) != 0) r = fail(fault, UNAVAILABLE, "listen: %s", strerrorname_np(errno));
    if (r != OK) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return OK;
}
