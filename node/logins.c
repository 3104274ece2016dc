/* logins - from the routes of the settings to accounts. */
#include "node/logins.h"

static bool same(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool is_same(const struct settings_login *a, const struct settings_login *b)
{
    return same(a->username, b->username) && same(a->password_file, b->password_file) &&
           same(a->access_token_file, b->access_token_file) &&
           same(a->oauth.token_url, b->oauth.token_url) &&
           same(a->oauth.client_id, b->oauth.client_id) &&
           same(a->oauth.client_secret_file, b->oauth.client_secret_file) &&
           same(a->oauth.refresh_token_file, b->oauth.refresh_token_file) &&
           same(a->oauth.scope, b->oauth.scope) && same(a->oauth.ca_file, b->oauth.ca_file);
}

static struct login *open_one(const struct settings_login *a)
{
    return login_new(&(struct login_options){ .username = a->username,
                                              .password_file = a->password_file,
                                              .access_token_file = a->access_token_file,
                                              .token_url = a->oauth.token_url,
                                              .client_id = a->oauth.client_id,
                                              .client_secret_file = a->oauth.client_secret_file,
                                              .refresh_token_file = a->oauth.refresh_token_file,
                                              .scope = a->oauth.scope,
                                              .token_ca_file = a->oauth.ca_file,
                                              .clock = &clock_real });
}

/* Of an earlier route; 0: it is a new one. */
static unsigned find(const struct logins *l, const struct settings *s, unsigned route)
{
    for (unsigned i = 0; i < route; i++)
        if (l->of_route[i] > 0 && is_same(&s->routes[i].auth, &s->routes[route].auth))
            return l->of_route[i];
    return 0;
}

static struct login *find_before(const struct logins_before *b, const struct settings_login *a)
{
    for (unsigned i = 0; b && i < b->settings->route_count; i++)
        if (b->logins->of_route[i] > 0 && is_same(&b->settings->routes[i].auth, a))
            return login_ref(b->logins->list[b->logins->of_route[i] - 1]);
    return NULL;
}

void logins_open(struct logins *out, const struct settings *s, const struct logins_before *before)
{
    struct login *l;

    *out = (struct logins){ .count = 0 };
    for (unsigned i = 0; i < s->route_count; i++) {
        if (!s->routes[i].auth.username) continue;
        out->of_route[i] = find(out, s, i);
        if (out->of_route[i] > 0) continue;
        l = find_before(before, &s->routes[i].auth);
        out->list[out->count++] = l ? l : open_one(&s->routes[i].auth);
        out->of_route[i] = out->count;
    }
}

void logins_stop(struct logins *l)
{
    for (unsigned i = 0; i < l->count; i++)
        login_stop(l->list[i]);
}

void logins_close(struct logins *l)
{
    while (l->count > 0)
        login_unref(&l->list[--l->count]);
}
