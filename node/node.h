/* node - one node of the relay: builds all rooms from the settings, wires them in the order of a mail's way,
 * runs the loops, and takes them down again. The only place that knows everybody.
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

/* Runs in the foreground until SIGTERM or SIGINT; SIGHUP reloads. Returns an enum cli_exit. */
int node_run(const char *settings_file);

#endif
