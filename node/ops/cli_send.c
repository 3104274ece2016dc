/* cli_send - angarium send: one mail through the HTTP API, for trying things out. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/ops/cli.h"

#define MAIL_SIZE_MAX (256u << 20)

struct send_args {
    struct cli_target target;
    const char *from, *subject, *text, *file;
    const char *to[CLI_LIST_MAX];
    unsigned to_count;
};

static int read_mail(const char *file, struct buf *out)
{
    int fd = strcmp(file, "-") == 0 ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;
    uint8_t *room;

    while (fd >= 0 && n > 0 && (room = buf_room(out, 64u << 10)) != NULL) {
        n = read(fd, room, 64u << 10);
        if (n > 0) buf_added(out, (size_t)n);
    }
    if (fd > STDIN_FILENO) close(fd);
    if (fd < 0 || n < 0) return cli_fail(CLI_FAILED, "%s: cannot be read", file);
    return buf_failed(out) ? cli_fail(CLI_FAILED, "%s: is too large for a mail", file) : 0;
}

static int post(const struct send_args *a, const char *path, const char *type, struct span body)
{
    struct cli_answer answer = { 0 };
    int rv = cli_call(&a->target, "POST", path, type, body, &answer);

    if (rv == CLI_DONE && a->target.json)
        cli_print_json(answer.json);
    else if (rv == CLI_DONE)
        printf("%s\n", cli_text(answer.json, "id"));
    cli_answer_free(&answer);
    return rv;
}

static int send_file(const struct send_args *a)
{
    struct buf path, mail, to;
    int rv;

    buf_init(&path, 64u << 10);
    buf_init(&to, 16u << 10);
    buf_init(&mail, MAIL_SIZE_MAX);
    for (unsigned i = 0; i < a->to_count; i++)
        buf_addf(&to, "%s%s", i > 0 ? "," : "", a->to[i]);
    buf_add_cstr(&path, "/api/v1/messages");
    cli_add_query(&path, "from", a->from);
    cli_add_query(&path, "to", buf_cstr(&to));
    rv = read_mail(a->file, &mail);
    if (rv == 0) rv = post(a, buf_cstr(&path), "message/rfc822", buf_span(&mail));
    buf_deinit(&path);
    buf_deinit(&to);
    buf_deinit(&mail);
    return rv;
}

static int send_text(const struct send_args *a)
{
    json_t *to = json_array(), *j;
    char *body;
    int rv;

    for (unsigned i = 0; i < a->to_count; i++)
        json_array_append_new(to, json_string(a->to[i]));
    j = json_pack("{s:s, s:o, s:s, s:s}", "from", a->from, "to", to, "subject",
                  a->subject ? a->subject : "", "text", a->text);
    if (!j) return cli_usage("send", "an option is not UTF-8");
    body = json_dumps(j, JSON_COMPACT);
    rv = post(a, "/api/v1/messages", "application/json", span_cstr(body));
    free(body);
    json_decref(j);
    return rv;
}

static int run(int argc, char **argv)
{
    struct send_args a = { 0 };
    unsigned words = 0;
    const struct cli_option options[] = {
        CLI_TARGET_OPTIONS(a.target),
        { .name = "from", .text = &a.from },
        { .name = "to", .list = a.to, .list_count = &a.to_count, .list_max = CLI_LIST_MAX },
        { .name = "subject", .text = &a.subject },
        { .name = "text", .text = &a.text },
        { .name = "file", .text = &a.file },
    };
    int rv = cli_read(argc, argv, options, sizeof options / sizeof options[0], NULL, 0, &words);

    if (rv != 0) return rv;
    if (!a.from || a.to_count == 0) return cli_usage(argv[0], "--from and --to are needed");
    if (!a.text == !a.file)
        return cli_usage(argv[0], "--text TEXT, or --file FILE with a whole mail, is needed");
    if (a.file && a.subject)
        return cli_usage(argv[0], "--file holds the whole mail, its subject too");
    rv = cli_target_find(&a.target);
    if (rv != 0) return rv;
    return a.file ? send_file(&a) : send_text(&a);
}

const struct cli_verb cli_verb_send = {
    .name = "send",
    .usage = "--from A --to B [--to C] [--subject S] --text TEXT | --file FILE",
    .line = "send a mail and print its id",
    .help = "Hands a mail to the cluster over its HTTP API. The sender's domain must be a "
            "tenant's. It prints the id\n"
            "when the mail is committed; exit 6: whether it was is not known.\n"
            "  --text TEXT   a short text; --file FILE: a whole mail with its header (- is "
            "standard input)\n"
            "\n"
            "Examples:\n"
            "  angarium send --from me@example.test --to you@example.org --subject Hi --text 'Good "
            "morning'\n"
            "  angarium send --from me@example.test --to you@example.org --file mail.eml\n",
    .run = run,
};
