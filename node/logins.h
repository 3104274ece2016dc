/* logins - the accounts of the routes: from settings to node/login. Routes with the same account share one, and so its
 * connections, its token and its pauses. */
#ifndef NODE_LOGINS_H
#define NODE_LOGINS_H

#include "node/login/login.h"
#include "node/settings/settings.h"

struct logins {
    struct login *list[SETTINGS_LIST_MAX];
    unsigned count;
    unsigned of_route[SETTINGS_LIST_MAX]; /* 0: none; else its place in the list, plus one */
};
/* before NULL: none. Else an account that its settings had as well is the same one: with its token, and its pause. */
struct logins_before {
    const struct logins *logins;
    const struct settings *settings;
};
void logins_open(struct logins *out, const struct settings *s, const struct logins_before *before);
void logins_stop(struct logins *l);  /* login_stop of all */
void logins_close(struct logins *l); /* may be called twice */

#endif
