/* gen_tally - what came of the mails: the files of ids, the summary line, the JSON file. */
#include "tests/bench/gen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void gen_sample(struct gen_samples *s, uint64_t us)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 4096;
        s->us = realloc(s->us, s->cap * sizeof *s->us);
        if (!s->us) abort();
    }
    s->us[s->n++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

void gen_note(int fd, const char *id, const char *word, unsigned number)
{
    char line[256];
    int n;

    if (fd < 0) return;
    n = snprintf(line, sizeof line, "%s %s %llu %u\n", id, word,
                 (unsigned long long)(wire_now_us() / 1000), number);
    if (n <= 0 || write(fd, line, (size_t)n) != n) {
        perror("cannot write an id");
        exit(1);
    }
}

void gen_note_failed(const struct gen_session *s)
{
    const struct gen_mail *m = &s->mail;
    char code[16];

    snprintf(code, sizeof code, "%d", m->failed);
    gen_note(s->gen->tally.failed_fd, m->id, code, m->end_sent);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

struct figures {
    double p50, p99, most;
};

static struct figures figures_ms(struct gen_samples *s)
{
    if (s->n == 0) return (struct figures){ 0 };
    qsort(s->us, s->n, sizeof *s->us, compare);
    return (struct figures){ s->us[s->n / 2] / 1e3, s->us[s->n - 1 - (s->n - 1) / 100] / 1e3,
                             s->us[s->n - 1] / 1e3 };
}

/* "250":3,"451":1 - the inside of a JSON object */
static void add_codes(struct bytes *out, const struct gen_tally *t)
{
    bool first = true;

    for (unsigned code = 0; code < GEN_CODES; code++) {
        if (t->by_code[code] == 0) continue;
        bytes_addf(out, "%s\"%u\":%llu", first ? "" : ",", code,
                   (unsigned long long)t->by_code[code]);
        first = false;
    }
}

static void write_json(const struct gen_tally *t, double seconds, struct figures whole,
                       struct figures dot, const char *file)
{
    struct bytes out = { 0 };
    FILE *f = fopen(file, "w");

    bytes_addf(&out, "{\"acked\":%llu,\"refused\":%llu,\"unsure\":%llu,\"lost\":%llu,",
               (unsigned long long)t->acked, (unsigned long long)t->refused,
               (unsigned long long)t->unsure, (unsigned long long)t->lost);
    bytes_addf(&out,
               "\"connections\":%llu,\"connect_failures\":%llu,\"bytes\":%llu,\"seconds\":%.4f,",
               (unsigned long long)t->connections, (unsigned long long)t->connect_failures,
               (unsigned long long)t->bytes, seconds);
    bytes_addf(&out, "\"tls\":{\"full\":%llu,\"resumed\":%llu},", (unsigned long long)t->full,
               (unsigned long long)t->resumed);
    bytes_addf(&out, "\"mails_per_s\":%.1f,", seconds > 0 ? (double)t->acked / seconds : 0.0);
    bytes_addf(&out, "\"whole_ms\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f},", whole.p50, whole.p99,
               whole.most);
    bytes_addf(&out, "\"dot_ms\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f},\"errors\":{", dot.p50,
               dot.p99, dot.most);
    add_codes(&out, t);
    bytes_addf(&out, "}}\n");
    if (!f || fwrite(out.p, 1, out.n, f) != out.n || fclose(f) != 0) {
        perror(file);
        exit(1);
    }
    bytes_free(&out);
}

void gen_print(struct gen *g, const char *json_file)
{
    struct gen_tally *t = &g->tally;
    struct figures whole = figures_ms(&t->whole), dot = figures_ms(&t->dot);
    double seconds = t->acked > 0 ? (double)(t->last_us - g->begun_us) / 1e6 : 0;
    struct bytes codes = { 0 };

    add_codes(&codes, t);
    bytes_addf(&codes, "%c", '\0');
    printf("mailgen: %llu acked in %.2f s = %.0f mails/s; MAIL..250 p50 %.2f p99 %.2f max %.2f ms; "
           "dot..250 p50 %.2f p99 %.2f max %.2f ms; %llu refused, %llu unsure, %llu lost; errors "
           "{%s}\n",
           (unsigned long long)t->acked, seconds, seconds > 0 ? (double)t->acked / seconds : 0.0,
           whole.p50, whole.p99, whole.most, dot.p50, dot.p99, dot.most,
           (unsigned long long)t->refused, (unsigned long long)t->unsure,
           (unsigned long long)t->lost, codes.p);
    bytes_free(&codes);
    if (json_file) write_json(t, seconds, whole, dot, json_file);
}
